"""Figures of results and pictures of structures."""
