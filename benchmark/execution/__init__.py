"""Tasks in worker processes: a local pool, a Dask cluster, and a map over tasks that survives crashes and kills."""
