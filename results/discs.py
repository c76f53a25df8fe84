"""The demo's set `discs`: both streams and their fusion, from scratch."""

from experiment import EVERY_RULE, Experiment, Part, groups_in_turn, main, options_in

from twostream.demo import discs

_SET = discs.create()

EXPERIMENT = Experiment(
    name="discs",
    heading="Discs that need both streams",
    about="256 rendered videos of 16 classes, 4 textures × 4 movements: a frame tells one half of the "
    "label and the flow the other, so a stream alone is right in about one of four.",
    parts=[
        Part(
            extraction={"size": discs.SIZE},
            runs={stream: options_in(_SET.train, stream) for stream in ("spatial", "temporal")},
            ensembles=EVERY_RULE,
        )
    ],
    protocol=groups_in_turn(range(7, 9)),
    render=_SET.render,
)

if __name__ == "__main__":
    main(EXPERIMENT)
