"""Files, structure files, worker processes, environment variables and devices."""
