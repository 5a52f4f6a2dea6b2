"""Datasets of simulated amorphous structures: definitions, storage, simulation and property labels."""
