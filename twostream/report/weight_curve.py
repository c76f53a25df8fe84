"""What a fusion of two runs would give with every share of the second, as a table and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowcache.atomic import atomic_path, write_csv


@dataclass(frozen=True)
class WeightCurve:
    """Top-1 accuracy, in shares of 1, over the share of a run."""

    rule: str
    run: str
    """Whose share it is."""

    shares: Sequence[float]
    """From 0 to 1, rising."""

    test: Sequence[float]
    """Top-1 of the test videos at each share: to be looked at, and not to be chosen by."""

    validation: Sequence[float] | None
    """The same of the videos that training held back; None where there are none."""

    taken: float | None
    """The share that was taken; None where the rule that was taken has no shares."""


def write_curve_csv(path: Path, curve: WeightCurve) -> None:
    """Rows of share, top-1 of the validation videos where there are some, and of the test videos."""
    columns = {"share": curve.shares, "validation": curve.validation, "test": curve.test}
    kept = {name: values for name, values in columns.items() if values is not None}
    rows = zip(*([f"{value:.4f}" for value in values] for values in kept.values()), strict=True)
    write_csv(path, [list(kept), *rows])


def write_curve_png(path: Path, curve: WeightCurve) -> None:
    """Both curves, each for itself, and the share that was taken."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axis = figure.subplots()

    def draw(values: Sequence[float], label: str, line: str) -> None:
        axis.plot(curve.shares, [100 * value for value in values], line, ms=3, label=label)

    if curve.validation is not None:
        draw(curve.validation, "validation, by which a share may be chosen", "o-")
    draw(curve.test, "test, by which none may", "s--")
    if curve.taken is not None:
        axis.axvline(curve.taken, color="gray", lw=1, label=f"taken: {curve.taken:.2f}")
    axis.set_xlabel(f"share of {curve.run}")
    axis.set_ylabel("top-1 accuracy, %")
    axis.set_title(f"rule {curve.rule}")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
