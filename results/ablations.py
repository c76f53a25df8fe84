"""Findings of Simonyan & Zisserman 2014 about the temporal stream, tried on five classes of UCF101."""

from experiment import Experiment, Part, groups_in_turn, main
from ucf101 import TESTS
from ucf101_scratch import FROM_SCRATCH

_TEMPORAL = {**FROM_SCRATCH, "stream": "temporal", "steps": 600, "length": 10}
_BIDIRECTIONAL = {**_TEMPORAL, "stream": "bidirectional"}

EXPERIMENT = Experiment(
    name="ablations",
    heading="What matters to the temporal stream",
    about="UCF101, five classes, test groups 8–14; ResNet-18 from scratch at 64 pixels, 600 steps: fields "
    "in a stack (their table 1b), the mean of each field kept and flow in both directions (their section "
    "3.1), and the algorithm of the flow.",
    parts=[
        Part(
            cache="cache",
            runs={
                "tvl1, L=1": {**_TEMPORAL, "length": 1},
                "tvl1, L=5": {**_TEMPORAL, "length": 5},
                "tvl1, L=10": _TEMPORAL,
                "tvl1, L=10, mean kept": {**_TEMPORAL, "subtract_mean": False},
            },
        ),
        Part(
            cache="dis",
            extraction={"algorithm": "dis", "backward": True},
            runs={"dis, L=10": _TEMPORAL, "dis, L=10, bi-directional": _BIDIRECTIONAL},
        ),
        Part(
            cache="farneback",
            extraction={"algorithm": "farneback"},
            runs={"farneback, L=10": _TEMPORAL},
        ),
        Part(
            cache="tvl1-accurate",
            extraction={"options": {"profile": "accurate"}},
            runs={"tvl1 accurate, L=10": _TEMPORAL},
        ),
    ],
    protocol=groups_in_turn(TESTS[0]),
    seeds=(0,),
)

if __name__ == "__main__":
    main(EXPERIMENT)
