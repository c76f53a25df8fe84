"""Fusion rules, one a file; the module's name is the name users give."""
