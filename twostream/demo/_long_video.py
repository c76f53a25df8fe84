"""Short videos put end to end, as if a camera had recorded on, and what the long one shows when."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from flowcache.atomic import write_csv
from flowcache.show.files import write_video
from flowcache.types import UInt8
from flowcache.video.decode import Video

_FINE = {"qmin": "2", "qmax": "2"}  # the flow must not see the codec where it did not in training


def put_end_to_end(videos: Sequence[Path], output: Path) -> None:
    """Write the videos one after another, and beside it `start,end,label` in seconds, as `.csv`.

    All have the size and the rate of the first; the label of each is the folder that it lies in.
    """
    counts: list[int] = []
    rate = _rate(videos[0])

    def pictures() -> Iterator[UInt8]:
        for path in videos:
            counts.append(0)
            with Video(path) as video:
                for rgb in video:
                    counts[-1] += 1
                    yield rgb

    write_video(output, pictures(), float(rate), "mpeg4", _FINE)
    rows: list[Sequence[object]] = [("start", "end", "label")]
    first = 0
    for path, count in zip(videos, counts, strict=True):
        start, end = (f"{float(number / rate):.3f}" for number in (first, first + count))
        rows.append((start, end, path.parent.name))
        first += count
    write_csv(output.with_suffix(".csv"), rows)


def _rate(path: Path) -> Fraction:
    with Video(path) as video:
        return video.rate or Fraction(25)
