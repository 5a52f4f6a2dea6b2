"""Neighbour pairs and neighbour lists of periodic structures."""
