"""Cached clips → scores: two networks, one for appearance and one for motion, fused late."""
