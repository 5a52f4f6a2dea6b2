"""Generation of structures with a trained method."""
