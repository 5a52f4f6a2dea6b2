"""Generative baselines from other fields, adapted to amorphous materials."""
