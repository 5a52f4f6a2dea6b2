"""Leaderboard tables."""
