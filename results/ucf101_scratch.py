"""UCF101, five of its classes: both streams and their fusion, from scratch."""

from experiment import EVERY_RULE, OUT_OF_FOLD, Experiment, Part, groups_in_turn, main
from ucf101 import TESTS

FROM_SCRATCH = {
    "init": "none",
    "model": "resnet",
    "crop": 64,
    "resize": 72,
    "scales": (1.0, 0.875, 0.75),
    "ema": 0.98,
    "keep": "last",
}

EXPERIMENT = Experiment(
    name="ucf101_scratch",
    heading="UCF101, five classes, from scratch",
    about="The same videos and folds, with ResNet-18 from scratch, at 64 pixels: frames and flow are "
    "those of 240 lines, seen at 72.",
    parts=[
        Part(
            runs={
                "spatial": {**FROM_SCRATCH, "colour": 0.3, "steps": 600},
                "temporal": {**FROM_SCRATCH, "steps": 1000},
            },
            ensembles=EVERY_RULE + OUT_OF_FOLD,
        )
    ],
    protocol=groups_in_turn(*TESTS),
)

if __name__ == "__main__":
    main(EXPERIMENT)
