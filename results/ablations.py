"""Findings of Simonyan & Zisserman 2014 about the temporal stream, tried on five classes of UCF101."""

from typing import Any

from experiment import Experiment, Part, groups_in_turn, main
from ucf101 import TESTS
from ucf101_scratch import FROM_SCRATCH

_TEMPORAL = {**FROM_SCRATCH, "stream": "temporal", "steps": 600, "length": 10}
_BIDIRECTIONAL = {**_TEMPORAL, "stream": "bidirectional"}
_SMALL = {"size": 128, "bound": 10}


def _flow_of(name: str, **extraction: Any) -> Part:
    """The same training on the flow of another algorithm."""
    return Part(
        cache=name,
        extraction={**_SMALL, **extraction},
        runs={f"L=10, {name}": _TEMPORAL},
    )


EXPERIMENT = Experiment(
    name="ablations",
    heading="What matters to the temporal stream",
    about="UCF101, five classes, test groups 8–14; TV-L1 `fast` of 128 lines where no other algorithm "
    "is named; ResNet-18 from scratch at 64 pixels, 600 steps. Changed are the fields in a stack (their "
    "table 1b), the mean of each field and the directions (their section 3.1), and the algorithm.",
    parts=[
        Part(
            cache="tvl1",
            extraction={**_SMALL, "backward": True},
            runs={
                "L=1": {**_TEMPORAL, "length": 1},
                "L=5": {**_TEMPORAL, "length": 5},
                "L=10": _TEMPORAL,
                "L=10, mean kept": {**_TEMPORAL, "subtract_mean": False},
                "L=10, bi-directional": _BIDIRECTIONAL,
            },
        ),
        _flow_of("tvl1 accurate", options={"profile": "accurate"}),
        _flow_of("farneback", algorithm="farneback"),
        _flow_of("dis", algorithm="dis"),
    ],
    protocol=groups_in_turn(TESTS[0]),
    seeds=(0,),
)

if __name__ == "__main__":
    main(EXPERIMENT)
