"""Farnebäck, "Two-Frame Motion Estimation Based on Polynomial Expansion", SCIA 2003.

`opencv.py` is OpenCV's program, and `torch.py` the same method for a batch of pairs on any device of
PyTorch. Both have the options of `options.py`.
"""

from flowcache.algorithms.farneback.opencv import Farneback
from flowcache.types import Backend

create = Farneback

BACKENDS = (
    Backend(name="cpu", module=f"{__name__}.opencv"),
    Backend(name="torch", module=f"{__name__}.torch", devices=("cuda", "cpu", "mps"), batched=True),
)
