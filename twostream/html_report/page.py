"""A report as one HTML page that needs no other file: content, plots and pictures put into a template."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from flowcache.atomic import atomic_path, require_writable
from flowcache.errors import UserError
from twostream.html_report import plots
from twostream.html_report.content import ChosenVideo, ReportContent
from twostream.html_report.strips import VideoPictures
from twostream.report.tables import accuracies, accuracy_cells
from twostream.scoring.intervals import MEASURES, Interval
from twostream.scoring.metrics import per_class, reliability
from twostream.scoring.scores import Scores

_HERE = Path(__file__).parent

MOST_OF_A_MATRIX = 30
"""Up to so many classes a confusion matrix is shown whole; beyond, its most frequent confusions are."""

PAIRS = 30
"""How many of these."""

MOST_SCORES = 4_000_000
"""So many numbers of both runs' scores a page takes along at the most: 16 MB, 21 MB as text."""


def check_output(path: Path) -> None:
    """UserError for a path that is a folder, or that cannot be written to."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file to write to, as report.html", "output")
    require_writable(path, "output")


def write_page(path: Path, content: ReportContent, pictures: Mapping[str, VideoPictures]) -> None:
    """Write a report as one page; it is whole or not there.

    pictures: of the chosen videos, by their ids; a video that is not among them has none.
    Raises UserError for a path that is a folder.
    """
    check_output(path)
    text = page(content, pictures)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(content: ReportContent, pictures: Mapping[str, VideoPictures] | None = None) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,  # the names of classes and videos are the user's
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        _values(content, pictures or {}),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=digest,
        version=version("twostream"),
    )


def _values(content: ReportContent, pictures: Mapping[str, VideoPictures]) -> dict[str, Any]:
    """What the template asks for, by name."""
    runs, fusion, everything = content.runs, content.fusion, content.all
    found = [accuracies(one) for one in everything]
    first = runs[0]
    groups = len(set(first.groups or first.ids))
    units = f"{groups} groups" if groups < len(first) else "videos"
    title = ", ".join(one.name for one in runs) + (" and their fusion" if fusion else "")
    curves = [record for record in content.records if record.epochs]
    values = {
        "title": title,
        "subtitle": f"{len(first)} test videos of {len(first.classes)} classes",
        "videos": len(first),
        "classes": first.classes,
        "units": units,
        "verdict": fusion.gain.verdict if fusion else "",
        "gains": _gains(content),
        "rule": _rule(content),
        "measures": _measures(everything, found),
        "interval_plots": _interval_plots(everything, found),
        "runs": [
            {
                "name": one.name,
                "stream": record.stream,
                "model": record.model,
                "views": _views(one),
            }
            for one, record in zip(runs, content.records, strict=True)
        ],
        "slider": _slider(content, found),
        "matrix_width": max(21, 10 + 1.6 * len(first.classes)) if _is_small(first) else 21,
        "confusions": [_confusion(one) for one in everything],
        "class_table": _class_table(content),
        "curve_plots": [
            plots.learning_curves(record.name, record.epochs, f"learning-{number}")
            for number, record in enumerate(curves)
        ],
        "without_curves": [
            f"{record.name} has no record of its epochs, so it has no learning curves."
            for record in content.records
            if not record.epochs
        ],
        "reliability_plots": [
            plots.reliability_diagram(one.name, reliability(one), f"reliability-{number}")
            for number, one in enumerate(everything)
        ],
        "chosen": [
            {
                "name": group.name,
                "heading": group.heading,
                "explanation": group.explanation,
                "count": len(group.videos),
                "shown": [
                    _video(video, pictures[video.id])
                    for video in group.videos
                    if video.id in pictures
                ],
                "others": [_video(video) for video in group.videos if video.id not in pictures],
            }
            for group in content.chosen
        ],
    }
    return values | {"sections": _sections(values)}


def _sections(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = [
        ("accuracy", "Accuracy"),
        ("weight", "Weight") if values["slider"] else None,
        ("confusion", "Confusion"),
        ("classes", "Classes"),
        ("learning", "Learning curves") if values["curve_plots"] else None,
        ("reliability", "Reliability"),
        *((group["name"], group["name"].capitalize()) for group in values["chosen"]),
    ]
    return [section for section in sections if section]


def _gains(content: ReportContent) -> list[str]:
    """As `twostream fuse` prints them."""
    if not content.fusion:
        return []
    gain = content.fusion.gain
    return [
        f"gain over {gain.over}, {MEASURES[measure]}: {getattr(gain, measure)}"
        for measure in MEASURES
    ]


def _rule(content: ReportContent) -> str:
    if not content.fusion:
        return ""
    rule = content.fusion.rule
    shares = ", ".join(f"{name} {share:.3g}" for name, share in (rule.shares or {}).items())
    fitted = f"; fitted on {rule.held_out} validation videos" if rule.held_out else ""
    return f"Fused by the rule {rule.name}{f'; shares: {shares}' if shares else ''}{fitted}."


def _measures(everything: Sequence[Scores], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """found: the accuracies of each."""
    columns, headings, rows = accuracy_cells(found)
    return {
        "columns": columns,
        "headings": headings,
        "rows": [
            {"name": one.name, "cells": cells, "color": plots.color_of(number)}
            for number, (one, cells) in enumerate(zip(everything, rows, strict=True))
        ],
    }


def _interval_plots(
    everything: Sequence[Scores], found: Sequence[Mapping[str, Any]]
) -> list[plots.Plot]:
    return [
        plots.intervals(
            {
                one.name: Interval(of_run[measure], *of_run["intervals"][measure])
                for one, of_run in zip(everything, found, strict=True)
            },
            heading,
        )
        for measure, heading in MEASURES.items()
    ]


def _views(one: Scores) -> str:
    if not one.clips:
        return ""
    crops = f" × {one.crops} crops" if one.crops > 1 else ""
    return f"{one.clips} clips{crops}, {one.average} averaged"


def _slider(content: ReportContent, found: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the page needs to fuse anew; None unless there are two runs, no larger than it can carry."""
    fusion = content.fusion
    if not fusion or not fusion.curve or sum(one.logits.size for one in content.runs) > MOST_SCORES:
        return None
    first, second = content.runs
    taken = (fusion.rule.shares or {}).get(second.name, 0.5)
    plot = plots.weight_curve(fusion.curve, taken)
    _, _, rows = accuracy_cells([{**one, "intervals": {}} for one in found[:2]])
    matrix = _confusion(first)
    return {
        "second": second.name,
        "share": taken,
        "shown_share": f"{taken:.4g}",
        "plot": plot,
        "rows": [
            {"name": one.name, "cells": cells}
            for one, cells in zip(content.runs, rows, strict=True)
        ],
        "confusion": matrix | {"name": "average at this share", "id": "moving-confusion"},
        "data": {
            "videos": len(first),
            "classes": list(first.classes),
            "labels": _base64(first.labels.astype("<i4")),
            "logits": [_base64(one.logits.astype("<f4")) for one in content.runs],
            "share": taken,
            "drawn_share": plot.share,
            "units": plot.units,
            "pairs": PAIRS,
        },
    }


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _is_small(one: Scores) -> bool:
    """Whether a confusion matrix is shown whole."""
    return len(one.classes) <= MOST_OF_A_MATRIX


def _confusion(one: Scores) -> dict[str, Any]:
    """The matrix where there are few classes, else its most frequent confusions; see `page.html`."""
    counts = one.confusion()
    rows: list[list[dict[str, Any]]] = []
    pairs: list[dict[str, Any]] = []
    if _is_small(one):
        sums = np.maximum(counts.sum(1, keepdims=True), 1)
        for of_label, percents in zip(counts, 100 * counts / sums, strict=True):
            cells = zip(of_label.tolist(), percents.tolist(), strict=True)
            rows.append([{"count": count, "percent": percent} for count, percent in cells])
    else:
        wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
        for label, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
            if count := int(wrong[label, predicted]):
                names = {"true": one.classes[label], "predicted": one.classes[predicted]}
                pairs.append({**names, "count": count})
    return {"name": one.name, "id": "", "rows": rows, "pairs": pairs}


def _class_table(content: ReportContent) -> dict[str, Any]:
    """Top-1 of each class by each run and the fusion, and what the fusion gains."""
    everything = content.all
    found = [per_class(one) for one in everything]
    over = content.fusion.gain.over if content.fusion else ""
    names = [one.name for one in everything]
    rows = []
    for name, (videos, _) in found[0].items():
        shares = [of_run[name][1] for of_run in found]
        cells: list[dict[str, Any]] = []
        if over:
            gain = shares[-1] - shares[names.index(over)]
            cells.append({"value": gain, "shown": f"{100 * gain:+z.1f}"})
        cells += [{"value": share, "shown": f"{100 * share:.1f}"} for share in shares]
        cells.append({"value": videos, "shown": str(videos)})
        rows.append({"name": name, "cells": cells})
    return {
        "heading": "What each class gains" if over else "Accuracy of each class",
        "over": over,
        "headings": [*(["gain"] if over else []), *names, "videos"],
        "rows": rows,
    }


def _video(video: ChosenVideo, pictures: VideoPictures | None = None) -> dict[str, Any]:
    answers = [
        {
            "by": one.by,
            "label": one.label,
            "right": one.right,
            "shown": "" if one.probability is None else f" {100 * one.probability:.0f} %",
        }
        for one in video.answers
    ]
    strips = [] if pictures is None else [pictures.strip, *pictures.maps]
    return {
        "id": video.id,
        "label": video.label,
        "answers": answers,
        "strips": [
            {
                "moments": strip.moments,
                "words": strip.words_of(video.id),
                "caption": strip.caption,
            }
            for strip in strips
        ],
    }
