"""Leaderboards: tables, figures and pages of stored results, and the values that the paper reports."""
