"""The demo's set `motion`: both streams and their fusion, from scratch."""

from experiment import EVERY_RULE, Experiment, Part, groups_in_turn, main, options_in

from twostream.demo import motion

_SET = motion.create()

EXPERIMENT = Experiment(
    name="motion",
    heading="Letters that only motion shows",
    about="832 rendered videos of 26 letters, which no frame shows; see [motion.md](motion.md). Places "
    "and noise that no training video had test.",
    parts=[
        Part(
            extraction={"size": motion.SIZE},
            runs={stream: options_in(_SET.train, stream) for stream in ("spatial", "temporal")},
            ensembles=EVERY_RULE,
        )
    ],
    protocol=groups_in_turn(range(12, 17)),
    render=_SET.render,
)

if __name__ == "__main__":
    main(EXPERIMENT)
