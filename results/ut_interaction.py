"""UT-Interaction: both streams and their fusion, leaving one sequence out, ten times."""

from experiment import EVERY_RULE, OUT_OF_FOLD, Experiment, Part, groups_in_file, main

EXPERIMENT = Experiment(
    name="ut_interaction",
    heading="UT-Interaction, leave one sequence out",
    about="60 clips of six interactions in ten sequences. The whole picture is seen, as a square, since "
    "the clips are 0.6 to 2.1 times as wide as high. From ImageNet's weights.",
    parts=[
        Part(
            extraction={"size": "256x256"},
            runs={
                "spatial": {"validation_share": 0.12},
                "temporal": {
                    "validation_share": 0.12,
                    "steps": 400,
                    "stride": 3,
                    "mixup": 0.0,
                },
            },
            ensembles=EVERY_RULE + OUT_OF_FOLD,
        )
    ],
    protocol=groups_in_file("leave-one-group-out"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
