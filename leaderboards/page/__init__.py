"""The leaderboard as one static folder that a browser opens: tables, charts, structures, method cards, provenance."""
