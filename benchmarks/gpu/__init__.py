"""The parts of `gpu_flow`, by what they look at."""
