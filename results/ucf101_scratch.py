"""UCF101, five of its classes: both streams and their fusion, from scratch."""

from experiment import EVERY_RULE, Experiment, Part, main
from ucf101 import protocol

_BOTH = {
    "init": "none",
    "crop": 112,
    "segments": 3,
    "batch_size": 8,
    "steps": 1600,
    "ema": 0.99,
    "mixup": 0.2,
    "keep": "last",
}

EXPERIMENT = Experiment(
    name="ucf101_scratch",
    heading="UCF101, five classes, from scratch",
    about="The same videos and folds, with networks that start at random.",
    parts=[
        Part(
            runs={
                "spatial": {"resize": 128, "area": (0.35, 1.0), "colour": 0.3, **_BOTH},
                "temporal": _BOTH,
            },
            ensembles=EVERY_RULE,
        )
    ],
    protocol=protocol,
)

if __name__ == "__main__":
    main(EXPERIMENT)
