"""UCF101, five of its classes: both streams and their fusion, from ImageNet's weights."""

from experiment import EVERY_RULE, OUT_OF_FOLD, Experiment, Part, groups_in_turn, main

TESTS = (range(8, 15), range(15, 22))
"""The groups that test in the official splits 2 and 3."""

EXPERIMENT = Experiment(
    name="ucf101",
    heading="UCF101, five classes, the test groups of splits 2 and 3",
    about="270 clips (groups 8–25, clips 1–3) of Archery, BasketballDunk, HorseRace, PlayingPiano and "
    "PlayingViolin. The groups 8–14 and 15–21 test in turn, and all others train. From ImageNet's "
    "weights, by the commands of the README.",
    parts=[
        Part(
            runs={"spatial": {}, "temporal": {}},
            ensembles=EVERY_RULE + OUT_OF_FOLD,
        )
    ],
    protocol=groups_in_turn(*TESTS),
)

if __name__ == "__main__":
    main(EXPERIMENT)
