"""The benchmark: datasets, the method contract, training, generation, evaluation, results."""
