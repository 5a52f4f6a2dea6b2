"""Graphite-style denoising for amorphous materials."""
