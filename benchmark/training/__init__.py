"""Training of a method: options, budgets, loop, log, checkpoints."""
