"""Surveillance clips, a fight or none: both streams and their fusion, five folds by source recording."""

from experiment import EVERY_RULE, OUT_OF_FOLD, Experiment, Part, groups_in_file, main

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
    protocol=groups_in_file("group-folds", folds=5),
)

if __name__ == "__main__":
    main(EXPERIMENT)
