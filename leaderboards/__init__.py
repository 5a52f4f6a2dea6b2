"""Leaderboard tables from stored result cells."""
