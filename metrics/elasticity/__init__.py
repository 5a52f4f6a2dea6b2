"""Elastic moduli of glasses."""
