"""What these scripts share: an experiment as a value, run to a section of docs/results.md."""

import argparse
import csv
import re
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from click.core import ParameterSource

import flowcache
from flowcache import plugins
from flowcache.atomic import atomic_path
from flowcache.cache.store import FlowCache
from twostream import models
from twostream.commands.train import train
from twostream.demo._demo_set import DemoSet
from twostream.protocol import plan
from twostream.protocol.options import ProtocolOptions
from twostream.protocol.plan import Protocol
from twostream.protocol.results import Ensemble
from twostream.protocol.summary import comparison_of, figures
from twostream.protocol.work import work
from twostream.runs import files
from twostream.runs.training_options import TrainOptions
from twostream.scoring.intervals import MEASURES, Interval

Protocols = Callable[[Path, FlowCache, Path], Mapping[str, Any]]

ROOT = Path(__file__).parents[1]

WIDTH = 118  # of a line of the page

_STREAMS = ("spatial", "temporal")
EVERY_RULE = (
    *(Ensemble(rule, _STREAMS, rule) for rule in ("softmax", "logits", "product", "max")),
    Ensemble("softmax, fitted shares", _STREAMS, "softmax", "fit"),
    Ensemble("temperature, fitted shares", _STREAMS, "temperature", "fit"),
    *(Ensemble(rule, _STREAMS, rule) for rule in ("log_linear", "per_class", "stacking", "svm")),
)
"""Both streams by each rule: the first ones as they are, and the others fitted on validation scores."""

OUT_OF_FOLD = tuple(
    Ensemble(f"{rule}, out of fold", _STREAMS, rule, fit_on="folds")
    for rule in ("log_linear", "stacking", "svm")
)
"""The same fitted on what tested in the other folds."""

_SMALL_RUN = {
    "model": "tiny",
    "init": "none",
    "crop": 24,
    "resize": 0,
    "epochs": 1,
    "batch_size": 4,
}
_SMALL_CACHE = {"size": 32, "algorithm": "farneback", "options": {}}
_NOT_SMALL = ("steps", "options", "segments", "body_rate")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is trained on one cache.

    cache: the name of its folder. extraction: options of `flowcache.extract`. runs: what is trained in
    each fold, by name, with options of `twostream train`. ensembles: what is fused.
    """

    cache: str = "cache"
    extraction: Mapping[str, Any] = field(default_factory=dict)
    runs: Mapping[str, Mapping[str, Any]]
    ensembles: Sequence[Ensemble] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A section of docs/results.md.

    name: of the section and its script. about: what stands above the table. protocol: makes the options
    of `twostream protocol` from the folder of the videos, a cache, and a folder for lists. render: writes
    the videos, where they are not there yet.
    """

    name: str
    heading: str
    about: str
    parts: Sequence[Part]
    protocol: Protocols
    seeds: Sequence[int] = (0, 1, 2)
    render: Callable[[Path], None] | None = None


def groups_in_turn(*parts: range) -> Protocols:
    """Folds by the number of the group, as in `v_Archery_g08_c01`: each of the parts tests in turn."""

    def protocol(videos: Path, cache: FlowCache, lists: Path) -> Mapping[str, Any]:
        lists.mkdir(parents=True, exist_ok=True)
        for number, groups in enumerate(parts, 1):
            names = [i for i in cache.ids() if int(re.findall(r"_g(\d+)_", i)[-1]) in groups]
            (lists / f"testlist{number:02}.txt").write_text("".join(f"{n}.avi\n" for n in names))
        return {"scheme": "lists", "lists": lists}

    return protocol


def groups_in_file(scheme: str, **options: Any) -> Protocols:
    """Folds by a scheme with its options, of the groups in `groups.csv` beside the videos' folder."""

    def protocol(videos: Path, cache: FlowCache, lists: Path) -> Mapping[str, Any]:
        return {"scheme": scheme, "groups": videos.parent / "groups.csv", **options}

    return protocol


def options_in(words: str, stream: str) -> dict[str, Any]:
    """The options of `twostream train` as a shell has them, by their names."""
    context = train.make_context("train", ["--stream", stream, *shlex.split(words)])
    told = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    model = told.get("model", TrainOptions.model)
    return told | {"options": plugins.parse_options(models, model, told.get("options", ()))}


def of_demo_set(
    name: str, chosen: DemoSet, size: int, tests: range, *, heading: str, about: str
) -> Experiment:
    """Both streams on one of the demo's sets, with the options of the demo.

    size: of the stored frames. tests: the numbers of the groups that test.
    """
    return Experiment(
        name=name,
        heading=heading,
        about=about,
        parts=[
            Part(
                extraction={"size": size},
                runs={stream: options_in(chosen.train, stream) for stream in _STREAMS},
                ensembles=EVERY_RULE,
            )
        ],
        protocol=groups_in_turn(tests),
        render=chosen.render,
    )


def main(experiment: Experiment, words: Sequence[str] | None = None) -> None:
    """Extract, train all folds with all seeds, and print the section; what is done is not done again."""
    parser = argparse.ArgumentParser(description=experiment.about)
    parser.add_argument("videos", type=Path, help="folder of the videos, one folder a class")
    parser.add_argument("work", type=Path, help="folder for caches and runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(experiment.seeds))
    parser.add_argument("--into", type=Path, help="write the section into this page")
    parser.add_argument("--miniature", action="store_true", help="a trial with a tiny network")
    given = parser.parse_args(words)
    if experiment.render and not given.videos.exists():
        experiment.render(given.videos)
    protocols, found = [], []
    for part in experiment.parts:
        cache = _cache(part, given)
        protocol = _begin(experiment, part, cache, given)
        left = work(protocol, cache, on_training=lambda *told: print("{1}/{2}: {0}".format(*told)))
        if left:
            print(f"{len(left)} runs are not done, the first is {left[0]}")
            return
        protocols.append(protocol)
        found.append(figures(protocol, cache, part.ensembles))
    section = _section(experiment, protocols, found)
    print(section)
    if given.into:
        write_section(given.into, experiment.name, section)


def _cache(part: Part, given: argparse.Namespace) -> FlowCache:
    root = given.work / part.cache
    small = _SMALL_CACHE if given.miniature else {}
    summary = flowcache.extract(given.videos, root, **{**part.extraction, **small})
    print(summary)
    if summary.failures:
        raise SystemExit(f"{root} lacks videos, so there is no figure of all of them")
    return FlowCache.open(root)


def _begin(
    experiment: Experiment, part: Part, cache: FlowCache, given: argparse.Namespace
) -> Protocol:
    lists = given.work / "lists"
    options = ProtocolOptions(
        **experiment.protocol(given.videos, cache, lists), seeds=tuple(given.seeds)
    )
    left_out, small = (_NOT_SMALL, _SMALL_RUN) if given.miniature else ((), {})
    runs = {}
    for name, told in part.runs.items():
        kept = {key: value for key, value in told.items() if key not in left_out}
        runs[name] = plan.train_options(name, {"jobs": 0, **kept, **small})
    return plan.begin(cache, given.work / f"runs-{part.cache}", options, runs, print)


def _section(
    experiment: Experiment, protocols: Sequence[Protocol], found: Sequence[Mapping[str, Any]]
) -> str:
    """The heading, what it is about, the tables, and from where and when they are.

    found: the figures of each protocol, see `protocol.summary`.
    """
    told = "{videos} test videos of {groups} groups, {folds} folds".format(**found[0])
    seeds = ", ".join(str(seed) for seed in protocols[0].seeds)
    rows = {name: row for one in found for name, row in one["outcomes"].items()}
    gains = {g["of"]: g for one in found for g in one["gains"] if g["measure"] == "top1"}
    header = ["", *MEASURES.values(), "each seed", "NLL", "ECE"]
    if gains:
        header.append("top-1 over the better stream")
    minutes = sum(_seconds(t.folder) for one in protocols for t in one.trainings()) / 60
    return "\n\n".join(
        [
            f"## {experiment.heading}",
            textwrap.fill(experiment.about, WIDTH),
            f"{told}, seeds {seeds}; per cent, with 95 % intervals over groups.",
            table(header, [_row(name, row, gains) for name, row in rows.items()]),
            textwrap.fill(
                f"`python results/{experiment.name}.py VIDEOS WORK --seeds {seeds.replace(',', '')}`, "
                f"{minutes:.0f} minutes of training; the table is of {date.today()}, commit "
                f"{commit()}; {machine()}, torch {torch.__version__}.",
                WIDTH,
            ),
        ]
    )


def _row(name: str, row: Mapping[str, Any], gains: Mapping[str, Any]) -> list[str]:
    """The cells of a line; the last is empty for what is no fusion."""
    seeds = ", ".join(f"{100 * share:.1f}" for share in row["top1_of_seeds"])
    accuracies = [str(Interval(**row[measure])) for measure in MEASURES]
    nll, ece = row["negative_log_likelihood"], row["calibration_error"]
    sureness = ["", ""] if nll is None else [f"{nll:.2f}", f"{100 * ece:.1f}"]
    gain = [str(comparison_of(gains[name])) if name in gains else ""] if gains else []
    return [name, *accuracies, seeds, *sureness, *gain]


def write_section(page: Path, name: str, section: str) -> None:
    """Put a section between its two marks in a page; at the end, where the page has none."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if first not in text:
        text = f"{text.rstrip()}\n\n{first}\n{last}\n".lstrip()
    before, _, rest = text.partition(first)
    after = rest.partition(last)[2]
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{first}\n{section}\n{last}{after}", encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(folder: Path) -> float:
    with (folder / files.EPOCHS).open(newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def commit() -> str:
    """The commit of this checkout."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def machine() -> str:
    """The processor, and how many threads torch uses."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {torch.get_num_threads()} threads"
