"""Scores of inverse design: errors, hits, and the limits of the substance."""
