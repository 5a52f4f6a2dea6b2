"""Runs of the benchmark: trials, results, environment."""
