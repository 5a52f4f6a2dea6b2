"""Measurement of structures against a dataset."""
