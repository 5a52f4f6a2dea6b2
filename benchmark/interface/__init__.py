"""Interface of methods: contract, task, structures, noise, neighbour graphs, evaluation plans."""
