"""Interatomic potentials, computed by LAMMPS."""
