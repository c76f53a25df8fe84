"""The demo's set `discs`: both streams and their fusion, from scratch."""

from experiment import main, of_demo_set

from twostream.demo import discs

EXPERIMENT = of_demo_set(
    "discs",
    discs.create(),
    discs.SIZE,
    range(7, 9),
    heading="Discs that need both streams",
    about="256 rendered videos of 16 classes, 4 textures × 4 movements: a frame tells one half of the "
    "label and the flow the other, so a stream alone is right in about one of four.",
)

if __name__ == "__main__":
    main(EXPERIMENT)
