"""Findings of Simonyan & Zisserman 2014 about the temporal stream, tried on five classes of UCF101."""

from experiment import Experiment, Part, groups_in_turn, main
from ucf101 import TESTS

_SHORT = {"stream": "temporal", "steps": 400}


EXPERIMENT = Experiment(
    name="ablations",
    heading="What matters to the temporal stream",
    about="UCF101, five classes, test groups 8–14, from ImageNet's weights, 400 steps: fields in a stack "
    "(their table 1b), the mean of each field kept and flow in both directions (their section 3.1), and "
    "the algorithm of the flow.",
    parts=[
        Part(
            cache="tvl1-fast",
            extraction={"backward": True},
            runs={
                "L=1": {**_SHORT, "length": 1},
                "L=5": {**_SHORT, "length": 5},
                "L=10": {**_SHORT, "length": 10},
                "L=10, mean kept": {**_SHORT, "length": 10, "subtract_mean": False},
                "L=10, bi-directional": {**_SHORT, "length": 10, "stream": "bidirectional"},
            },
        ),
        *(
            Part(
                cache=name,
                extraction={"algorithm": algorithm, **options},
                runs={f"L=10, {name}": {**_SHORT, "length": 10}},
            )
            for name, algorithm, options in (
                ("tvl1-accurate", "tvl1", {"options": {"profile": "accurate"}}),
                ("farneback", "farneback", {}),
                ("dis", "dis", {}),
            )
        ),
    ],
    protocol=groups_in_turn(TESTS[0]),
    seeds=(0,),
)

if __name__ == "__main__":
    main(EXPERIMENT)
