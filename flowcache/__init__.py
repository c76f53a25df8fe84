"""Video → dense optical flow on disk: decode, compute, quantise, store, verify."""
