"""Local environments of atoms, and losses that compare those of generated structures with those of data."""
