"""Measurements of speed: networks, neighbour lists, generation, training and evaluation."""
