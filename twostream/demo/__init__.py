"""A small video set of our own."""
