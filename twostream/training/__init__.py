"""Teach one network."""
