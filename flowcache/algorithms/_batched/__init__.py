"""What the backends share that compute flow for many pairs of frames at once, in PyTorch."""
