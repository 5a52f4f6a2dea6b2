"""Training of a method: options, loop, log, checkpoints."""
