"""The plots of a page in which nothing moves: matplotlib's SVG, in the colours of the page.

Colours are written as `var(--…)`, which the page sets for light and for dark. Text stays text, in the
page's own font. Series also differ in their lines and markers, for those who do not tell colours apart.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twostream.report.weight_curve import WeightCurve
from twostream.scoring.intervals import Interval
from twostream.scoring.metrics import Reliability

_INK, _LINE = "#000001", "#000002"
_SERIES = ("#0000a1", "#0000a2", "#0000a3", "#0000a4", "#0000a5", "#0000a6")
_OF_THE_PAGE = {
    _INK: "currentColor",
    _LINE: "var(--line)",
    **{color: f"var(--series-{number})" for number, color in enumerate(_SERIES, 1)},
}
"""Colours that matplotlib is given, and what the page calls them."""

_LINES, _MARKERS = ("-", "--", ":", "-."), "osD^vP"

SHARE_MARKER = "share-marker"
"""The id of the line in `weight_curve` that the page moves."""


@dataclass(frozen=True)
class Plot:
    """An SVG element to be put into a page, and the sentence that says what it shows."""

    svg: str
    words: str


@dataclass(frozen=True)
class WeightPlot(Plot):
    """The same with a line at a share, whose id is `SHARE_MARKER`."""

    share: float
    """Where the line is drawn."""

    units: float
    """By how many units of the SVG a share of 1 lies to the right of a share of 0."""


def color_of(number: int) -> str:
    """The colour of a series, counted from 0, as CSS."""
    return _OF_THE_PAGE[_SERIES[number % len(_SERIES)]]


def intervals(measured: Mapping[str, Interval], measure: str) -> Plot:
    """A point for each name with its interval as a line, in per cent."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for row, value in enumerate(measured.values()):
            color = _SERIES[row % len(_SERIES)]
            axis.plot([100 * value.low, 100 * value.high], [row, row], color=color, lw=2)
            marker = _MARKERS[row % len(_MARKERS)]
            axis.plot(100 * value.value, row, marker, color=color, ms=8)
        axis.set_yticks(range(len(measured)), list(measured))
        axis.set_ylim(len(measured) - 0.5, -0.5)
        axis.set_xlabel(f"{measure}, %")
        axis.grid(axis="x")

    told = "; ".join(f"{name} {value}" for name, value in measured.items())
    return Plot(
        _svg(draw, f"intervals-{measure.replace(' ', '-')}", (4.4, 0.8 + 0.35 * len(measured))),
        f"{measure} in per cent with 95 % intervals: {told}",
    )


def learning_curves(name: str, epochs: Mapping[str, Sequence[float]], key: str) -> Plot:
    """The losses of each epoch, and below them the accuracies of clips where there are some.

    epochs: see `content.RunRecord.epochs`. key: what ids in the SVG begin with.
    """
    loss, top1 = ("train_loss", "val_loss"), ("train_top1", "val_top1")
    rows = [
        (what, [column for column in columns if column in epochs])
        for what, columns in (("loss", loss), ("top-1 of clips", top1))
    ]
    rows = [(what, columns) for what, columns in rows if columns]

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (what, columns) in zip(axes, rows, strict=True):
            for number, column in enumerate(columns):
                label = "training" if column.startswith("train") else "validation"
                axis.plot(
                    epochs["epoch"],
                    epochs[column],
                    _MARKERS[number] + _LINES[number],
                    color=_SERIES[number],
                    ms=4,
                    label=label,
                )
            axis.set_ylabel(what)
            axis.grid()
        _legend(figure, axes[0])
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_title(name)

    last = ", ".join(
        f"{column.replace('_', ' ')} {epochs[column][-1]:.3f}" for _, c in rows for column in c
    )
    return Plot(
        _svg(draw, key, (4.4, 0.9 + 1.5 * len(rows))),
        f"learning curves of {name}, {len(epochs['epoch'])} epochs; the last has {last}",
    )


def reliability_diagram(name: str, found: Reliability, key: str) -> Plot:
    """How often what is predicted is right over how sure the scores are, and of how many videos."""
    bins = len(found.videos)
    middle, width = (np.arange(bins) + 0.5) / bins, 1 / bins
    error = f"ECE {100 * found.expected_calibration_error:.1f} %"

    def draw(figure: Any) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.bar(middle, np.nan_to_num(found.accuracy), 0.9 * width, color=_SERIES[0], alpha=0.75)
        upper.plot([0, 1], [0, 1], "--", color=_INK, lw=1, label="as sure as right")
        here = found.videos > 0
        upper.plot(
            found.confidence[here],
            found.accuracy[here],
            "o",
            color=_SERIES[1],
            ms=4,
            label="mean of the bin",
        )
        upper.set_ylabel("share that is right")
        upper.set_ylim(0, 1.03)
        _legend(figure, upper)
        upper.set_title(f"{name}: {error}")
        lower.bar(middle, found.videos, 0.9 * width, color=_SERIES[0], alpha=0.75)
        lower.set_ylabel("videos")
        lower.set_xlabel("probability of what is predicted")
        lower.set_xlim(0, 1)
        for axis in (upper, lower):
            axis.grid()

    return Plot(_svg(draw, key, (4.0, 3.7)), f"reliability diagram of {name}: {error}")


def weight_curve(curve: WeightCurve, share: float) -> WeightPlot:
    """Top-1 over the share of the second run, and a line at a share, which the page moves."""
    place: dict[str, float] = {}

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        drawn = {
            "validation, to choose by": curve.validation,
            "test, not to choose by": curve.test,
        }
        for number, (label, values) in enumerate(drawn.items()):
            if values is not None:
                axis.plot(
                    curve.shares,
                    [100 * value for value in values],
                    _MARKERS[number] + _LINES[number],
                    color=_SERIES[number],
                    ms=3.5,
                    label=label,
                )
        axis.axvline(share, color=_INK, lw=1.5, gid=SHARE_MARKER)
        axis.set_xlabel(f"share of {curve.run}")
        axis.set_ylabel("top-1, %")
        axis.grid()
        _legend(figure, axis)
        figure.draw_without_rendering()  # settles where the axes lie
        zero, one = (axis.transData.transform((x, 0))[0] for x in (0, 1))
        place["units"] = (one - zero) * 72 / figure.dpi

    svg = _svg(draw, "weights", (4.6, 3.2))
    best = max(zip(curve.test, curve.shares, strict=True))
    words = (
        f"top-1 of the test videos over the share of {curve.run}: {100 * curve.test[0]:.1f} % at 0, "
        f"{100 * curve.test[-1]:.1f} % at 1, at most {100 * best[0]:.1f} % at {best[1]:.2f}"
    )
    return WeightPlot(svg, words, share, place["units"])


def _legend(figure: Any, axis: Any) -> None:
    """Above the axes, where it hides nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)


def _svg(draw: Callable[[Any], None], key: str, size: tuple[float, float]) -> str:
    """What `draw` draws into a figure of this size in inches, as an element; its ids begin with `key`."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": key,  # the same plot has the same bytes
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.edgecolor": _LINE,
        "axes.labelcolor": _INK,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": _LINE,
        "ytick.color": _LINE,
        "xtick.labelcolor": _INK,
        "ytick.labelcolor": _INK,
        "grid.color": _LINE,
        "grid.alpha": 0.5,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "text.parse_math": False,  # a name may hold dollar signs
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained", dpi=72)
        FigureCanvasSVG(figure)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _of_the_page(written.getvalue(), key)


def _of_the_page(text: str, key: str) -> str:
    """The element alone, with the page's colours, and with ids that no other plot has."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; ", "", text)  # the page's own
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    for color, name in _OF_THE_PAGE.items():
        text = text.replace(color, name)
    text = re.sub(rf'(\bid="|url\(#|href="#)(?!{SHARE_MARKER})', rf"\g<1>{key}-", text)
    return text.replace("<svg ", '<svg class="plot" aria-hidden="true" ', 1)
