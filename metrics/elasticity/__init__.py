"""Elastic constants of glasses: by finite strains, and by linear response."""
