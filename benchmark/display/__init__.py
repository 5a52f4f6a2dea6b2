"""Structures and scores that show themselves in notebooks and on the page of the leaderboard."""
