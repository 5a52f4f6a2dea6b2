"""What a method sees: its contract, its task, structures, noise, neighbour graphs, and plans of evaluation."""
