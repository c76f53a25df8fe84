"""The demo's set `motion`: both streams and their fusion, from scratch."""

from experiment import main, of_demo_set

from twostream.demo import motion

EXPERIMENT = of_demo_set(
    "motion",
    motion.create(),
    motion.SIZE,
    range(12, 17),
    heading="Letters that only motion shows",
    about="832 rendered videos of 26 letters, which no frame shows; see [motion.md](motion.md). Places "
    "and noise that no training video had test.",
)

if __name__ == "__main__":
    main(EXPERIMENT)
