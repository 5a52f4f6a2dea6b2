"""Interatomic potentials, evaluated by LAMMPS."""
