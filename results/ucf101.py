"""UCF101, five of its classes: both streams and their fusion, from ImageNet's weights."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment import EVERY_RULE, Experiment, Part, main

from flowcache.cache.store import FlowCache

PARTS = {"02": range(8, 15), "03": range(15, 22)}
"""The groups that test in the official splits of these numbers."""


def protocol(videos: Path, cache: FlowCache, lists: Path) -> Mapping[str, Any]:
    """Write the two test lists; all other videos train."""
    lists.mkdir(parents=True, exist_ok=True)
    for number, groups in PARTS.items():
        names = [i for i in cache.ids() if int(re.findall(r"_g(\d+)_", i)[-1]) in groups]
        (lists / f"testlist{number}.txt").write_text("".join(f"{name}.avi\n" for name in names))
    return {"scheme": "lists", "lists": lists}


EXPERIMENT = Experiment(
    name="ucf101",
    heading="UCF101, five classes, the test groups of splits 2 and 3",
    about="270 clips (groups 8–25, clips 1–3) of Archery, BasketballDunk, HorseRace, PlayingPiano and "
    "PlayingViolin. The groups 8–14 and 15–21 test in turn, and all others train. From ImageNet's "
    "weights, by the commands of the README.",
    parts=[
        Part(
            runs={"spatial": {"stream": "spatial"}, "temporal": {"stream": "temporal"}},
            ensembles=EVERY_RULE,
        )
    ],
    protocol=protocol,
)

if __name__ == "__main__":
    main(EXPERIMENT)
