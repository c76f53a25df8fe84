"""Scores as a person reads them."""
