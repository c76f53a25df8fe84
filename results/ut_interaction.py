"""UT-Interaction: both streams and their fusion, leaving one sequence out, ten times."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment import EVERY_RULE, OUT_OF_FOLD, Experiment, Part, main

from flowcache.cache.store import FlowCache


def protocol(videos: Path, cache: FlowCache, lists: Path) -> Mapping[str, Any]:
    """Ten folds; `groups.csv` beside the videos names the sequences."""
    return {"scheme": "leave-one-group-out", "groups": videos.parent / "groups.csv"}


EXPERIMENT = Experiment(
    name="ut_interaction",
    heading="UT-Interaction, leave one sequence out",
    about="60 clips of six interactions in ten sequences. The whole picture is seen, as a square, since "
    "the clips are 0.6 to 2.1 times as wide as high. From ImageNet's weights.",
    parts=[
        Part(
            extraction={"size": "256x256"},
            runs={
                "spatial": {"stream": "spatial", "validation_share": 0.12},
                "temporal": {
                    "stream": "temporal",
                    "validation_share": 0.12,
                    "steps": 400,
                    "stride": 3,
                    "mixup": 0.0,
                },
            },
            ensembles=EVERY_RULE + OUT_OF_FOLD,
        )
    ],
    protocol=protocol,
)

if __name__ == "__main__":
    main(EXPERIMENT)
