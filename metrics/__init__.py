"""Structural, mechanical and inverse-design metrics on ASE Atoms and arrays."""
