"""Runs and their fusion as one HTML page, and as data for FiftyOne and Rerun."""
