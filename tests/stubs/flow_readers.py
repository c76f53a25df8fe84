"""Readers and writers of flow that have nothing of ours: OpenCV's, NumPy's and h5py's."""

import cv2
import h5py
import numpy as np

COMPONENTS = "xy"


def _pictures(folder, ending, bound):
    """As TSN's loaders do it: from 1 on, gray."""
    count = len(list(folder.glob(f"flow_x_*{ending}")))
    codes = [
        [cv2.imread(str(folder / f"flow_{c}_{n:05}{ending}"), cv2.IMREAD_GRAYSCALE) for c in "xy"]
        for n in range(1, count + 1)
    ]
    return np.array(codes, np.float64) / 255 * 2 * bound - bound


def _kitti(path):
    blue, green, red = np.moveaxis(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 2, 0)
    assert blue.all()
    return (np.stack([red, green]).astype(np.float64) - 2**15) / 64


def _h5(path):
    with h5py.File(path) as file:
        count = len(file) // 2
        return np.array([[file[f"flow_{c}_{n:05}"][:] for c in "xy"] for n in range(count)])


def read(place, name, bound):
    """The fields (T, 2, H, W) that were exported to `place` without an ending."""
    numbered = sorted(place.iterdir()) if place.is_dir() else ()
    if name in ("jpeg", "png"):
        return _pictures(place, ".jpg" if name == "jpeg" else ".png", bound)
    if name == "flo":
        return np.stack([cv2.readOpticalFlow(str(p)).transpose(2, 0, 1) for p in numbered])
    if name == "kitti":
        return np.stack([_kitti(p) for p in numbered])
    if name == "npy":
        return np.load(f"{place}.npy")
    if name == "npz":
        with np.load(f"{place}.npz") as arrays:
            return arrays["flow"]
    return _h5(f"{place}.h5")


def write_pictures(folder, flow, bound, names=("flow_x_{:05}.jpg", "flow_y_{:05}.jpg"), first=1):
    """As `convertFlowToImage` of dense_flow and denseflow does it, one pixel at a time."""

    def cast(v, low, high):
        return 255 if v > high else 0 if v < low else round(255 * (v - low) / (high - low))

    for number, field in enumerate(flow, first):
        for name, values in zip(names, field, strict=True):
            codes = [[cast(float(v), -float(bound), float(bound)) for v in row] for row in values]
            path = folder / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), np.array(codes, np.uint8))
