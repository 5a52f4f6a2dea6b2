"""A kit for a borrowed GPU machine without network: what to carry, its installation there, checks, short trainings.

docs/speed.md has the two commands ("On a GPU for minutes"). install.py runs before the package can be imported there.
"""
