"""Surveillance clips, a fight or none: both streams and their fusion, five folds by source recording."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment import EVERY_RULE, OUT_OF_FOLD, Experiment, Part, main

from flowcache.cache.store import FlowCache


def protocol(videos: Path, cache: FlowCache, lists: Path) -> Mapping[str, Any]:
    """Five folds; `groups.csv` beside the videos names the recordings."""
    return {"scheme": "group-folds", "folds": 5, "groups": videos.parent / "groups.csv"}


EXPERIMENT = Experiment(
    name="fights",
    heading="Surveillance clips, a fight or none, five folds by source recording",
    about="186 clips of two seconds from 30 recordings (Aktı, Tataroğlu, Ekenel, IPTA 2019). Clips of "
    "one recording are never on both sides. From ImageNet's weights.",
    parts=[
        Part(
            runs={
                "spatial": {"validation_share": 0.12},
                "temporal": {"validation_share": 0.12, "steps": 300, "mixup": 0.0},
            },
            ensembles=EVERY_RULE + OUT_OF_FOLD,
        )
    ],
    protocol=protocol,
)

if __name__ == "__main__":
    main(EXPERIMENT)
