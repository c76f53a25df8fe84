"""Processes that may die: the child that a video is processed in, and the process of a device."""
