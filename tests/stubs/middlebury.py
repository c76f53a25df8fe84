"""The Middlebury pairs: images and measured flow."""

import struct

import cv2
import numpy as np
import pytest


def frames(data, scene):
    """uint8 (2, H, W)."""
    folder = data / "middlebury" / scene
    images = [cv2.imread(str(folder / f"frame{i}.png"), cv2.IMREAD_GRAYSCALE) for i in (10, 11)]
    return np.stack(images)


def truth(data, scene):
    """The flow (2, H, W), pixels, and where it is known."""
    raw = (data / "middlebury" / scene / "flow10.flo").read_bytes()
    tag, width, height = struct.unpack("<fii", raw[:12])
    assert tag == pytest.approx(202021.25)
    flow = np.frombuffer(raw, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    return flow, (np.abs(flow) < 1e9).all(0)
