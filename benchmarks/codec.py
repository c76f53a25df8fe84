"""Our cache against the usual two JPEGs a field: bytes, error, time to write and to read.

    python benchmarks/codec.py --algorithm tvl1

Ours are chunks of an HDF5 file, as an entry has them; the other are files of quality 95 of
round((px + 20) · 255 / 40). Encoding starts with float pixels and ends, for ours, in the written file,
and for JPEG in memory: creating files costs more than compressing, and depends on the disk. Decoding
reads the files, from a hot cache. Times are those of one core. Bytes are those of the chunks and of
the JPEG files. Errors are inside ±20 px.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import common
import cv2
import h5py
import numpy as np

from flowcache import algorithms
from flowcache.cache.codec import DEFAULT as CODEC
from flowcache.quantize import Quantizer
from flowcache.types import FlowAlgorithm, FlowStack
from flowcache.video.decode import Video
from flowcache.video.resize import Resize

BOUND = 20.0
QUANTIZER = Quantizer(bound=BOUND, step=BOUND / 127)
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def flow_of(clip: Path, count: int, algorithm: FlowAlgorithm, resize: Resize) -> FlowStack:
    """Some fields, evenly spaced over the clip."""
    with Video(clip) as video:
        gray = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for f in video.frames(resize) for rgb in f]
    starts = np.linspace(0, len(gray) - 2, count).astype(int)
    return FlowStack(np.concatenate([algorithm(np.stack(gray[i : i + 2])).data for i in starts]))


class Ours:
    """Fields as chunks of one HDF5 file."""

    def __init__(self, folder: Path, flow: FlowStack) -> None:
        self.path, self.flow = folder / "ours.h5", flow
        _, _, self.height, self.width = flow.data.shape
        # Without the chunk cache: a write compresses at once, and a read decompresses each time.
        self.file = h5py.File(self.path, "w", rdcc_nbytes=0)
        self.dataset = CODEC.create_dataset(
            self.file, "flow", self.height, self.width, QUANTIZER.dtype
        )
        self.dataset.resize(len(flow), axis=0)

    def write(self, i: int) -> None:
        """One field, to the file."""
        codes, _ = QUANTIZER.encode(FlowStack(self.flow.data[i : i + 1]))
        self.dataset[i : i + 1] = CODEC.pack(codes)

    def reopen(self) -> int:
        """Makes it readable; returns the bytes of all fields."""
        self.file.close()
        self.file = h5py.File(self.path, "r", rdcc_nbytes=0)
        self.dataset = self.file["flow"]
        return self.dataset.id.get_storage_size()

    def codes(self, i: int) -> np.ndarray:
        """One field as integers (2, H, W)."""
        return CODEC.unpack(self.dataset[i : i + 1], self.height, QUANTIZER.dtype)[0]

    def pixels(self, i: int) -> np.ndarray:
        """One field as float32 (2, H, W)."""
        return self.codes(i) * np.float32(QUANTIZER.step)


class Jpeg:
    """Each component of each field in a JPEG file of its own."""

    def __init__(self, folder: Path, flow: FlowStack) -> None:
        self.folder, self.flow = folder, flow
        self.encoded: dict[str, np.ndarray] = {}

    def paths(self, i: int) -> list[str]:
        """Of dx and dy."""
        return [str(self.folder / f"{component}_{i:05}.jpg") for component in "xy"]

    def write(self, i: int) -> None:
        """One field, to memory."""
        bounded = np.clip(self.flow.data[i], -BOUND, BOUND)
        grey = np.rint((bounded + BOUND) * np.float32(255 / (2 * BOUND))).astype(np.uint8)
        for path, plane in zip(self.paths(i), grey, strict=True):
            self.encoded[path] = cv2.imencode(".jpg", plane, QUALITY)[1]

    def reopen(self) -> int:
        """Makes it readable; returns the bytes of all fields."""
        for path, encoded in self.encoded.items():
            encoded.tofile(path)
        return sum(len(encoded) for encoded in self.encoded.values())

    def codes(self, i: int) -> np.ndarray:
        """One field as integers (2, H, W)."""
        return np.stack([cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in self.paths(i)])

    def pixels(self, i: int) -> np.ndarray:
        """One field as float32 (2, H, W)."""
        return self.codes(i) * np.float32(2 * BOUND / 255) - np.float32(BOUND)


def measure(flow: FlowStack, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """For each field, each figure as a pair: ours, JPEG. Times in ms, the median of the repeats."""
    with tempfile.TemporaryDirectory() as folder:
        both = Ours(Path(folder), flow), Jpeg(Path(folder), flow)

        def times(method: str, i: int) -> tuple[float, float]:
            works = [
                lambda store=store: common.core_seconds(lambda: getattr(store, method)(i))
                for store in both
            ]
            ours, jpeg = common.alternate(works, repeats)
            return 1e3 * statistics.median(ours), 1e3 * statistics.median(jpeg)

        fields = range(len(flow))
        found = {"encode ms": [times("write", i) for i in fields]}
        sizes = [store.reopen() / len(flow) for store in both]
        found["bytes"] = [(sizes[0], sizes[1]) for _ in fields]
        found["decode ms"] = [times("codes", i) for i in fields]
        found["to float px ms"] = [times("pixels", i) for i in fields]
        for name, summary in (("mean error px", np.mean), ("max error px", np.max)):
            pairs = []
            for i in fields:
                inside = np.abs(flow.data[i]) <= BOUND
                errors = [np.abs(s.pixels(i) - flow.data[i])[inside] for s in both]
                pairs.append((float(summary(errors[0])), float(summary(errors[1]))))
            found[name] = pairs
        both[0].file.close()
    return found


def row(name: str, fields: dict[str, list[tuple[float, float]]]) -> list[str]:
    cells = [name, str(len(fields["bytes"]))]
    for figure in FIGURES:
        combine = {
            "max error px": max,
            "bytes": statistics.fmean,
            "mean error px": statistics.fmean,
        }
        ours, jpeg = (
            combine.get(figure, statistics.median)(x) for x in zip(*fields[figure], strict=True)
        )
        digits = 0 if figure == "bytes" else 3
        cells.append(f"{ours:.{digits}f} / {jpeg:.{digits}f} = {ours / jpeg:.2f}")
    return cells


FIGURES = ("bytes", "mean error px", "max error px", "encode ms", "decode ms", "to float px ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithm", default="tvl1")
    parser.add_argument("--fields", type=int, default=6, help="of each clip")
    parser.add_argument("--size", default="340x256", help="short side, or WxH")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    algorithm = algorithms.create(options.algorithm)
    resize = Resize.parse(options.size)
    sets = {"bikes": [common.data() / "clips" / "bikes.mp4"], "UCF101": common.ucf101(2)}
    everything: dict[str, list[tuple[float, float]]] = {figure: [] for figure in FIGURES}
    rows = []
    for name, clips in sets.items():
        of_set: dict[str, list[tuple[float, float]]] = {figure: [] for figure in FIGURES}
        for clip in clips:
            found = measure(flow_of(clip, options.fields, algorithm, resize), options.repeats)
            for figure in FIGURES:
                of_set[figure] += found[figure]
                everything[figure] += found[figure]
        rows.append(row(name, of_set))
    rows.append(row("all", everything))
    print(f"{common.machine()}; {options.algorithm}, {resize}; ours / two JPEGs = ratio, a field")
    print(common.table(["set", "fields", *FIGURES], rows))


if __name__ == "__main__":
    main()
