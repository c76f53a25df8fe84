"""Trained networks on new videos."""
