"""New videos through every run and the fusion, by the recipes that the checkpoints were trained on."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from flowcache.cache.entry import Entry
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError, printable
from flowcache.extraction.one import Job, extract_isolated
from flowcache.types import Float32
from flowcache.workers.devices import for_this_machine
from twostream.data.clip_reader import ClipReader
from twostream.data.index import Item
from twostream.fusion import Fusion, Weights, names_of, needs_held_out, rule_for
from twostream.prediction.networks import Network, load_network, logits_of_video
from twostream.prediction.no_flow import NoFlow
from twostream.prediction.videos import require_file
from twostream.runs.training_options import Average
from twostream.scoring.of_runs import held_out_scores_of
from twostream.scoring.scores import Scores

if TYPE_CHECKING:
    from torch import nn


OnShare = Callable[[float], None]
"""Is told how much of a video is done, 0 to 1."""


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one video."""

    video: str

    best: Mapping[str, Sequence[tuple[str, float]]]
    """By the name of each run and of the fusion: (class, probability), the best first."""

    HEADER: ClassVar[Sequence[str]] = ("video", "run", "rank", "class", "probability", "error")
    """Of a table of `rows`, whose last column is for videos of which nothing comes."""

    def rows(self) -> list[Sequence[object]]:
        """A row for each run and class."""
        return [
            (printable(self.video), name, rank, label, probability, "")
            for name, classes in self.best.items()
            for rank, (label, probability) in enumerate(classes, 1)
        ]

    def to_plain(self) -> dict[str, Any]:
        """As JSON may hold it."""
        best = {
            name: [{"class": label, "probability": probability} for label, probability in classes]
            for name, classes in self.best.items()
        }
        return {"video": printable(self.video), **best}


OnEntries = Callable[[Prediction, Mapping[str, Entry]], None]


class Predictor:
    """The networks of one or several runs, loaded once."""

    def __init__(
        self, folders: Sequence[Path], networks: "Mapping[str, nn.Module] | None" = None
    ) -> None:
        """networks: a user's own, by the names of the runs' folders.

        Raises UserError for a folder without a network, and where not all know the same classes.
        """
        if not folders:
            raise UserError("there is nothing to predict with: name a run", "run")
        self.names = names_of(folders, "run")
        if unknown := sorted(set(networks or {}) - set(self.names)):
            raise UserError(
                f"there is no run {unknown[0]}, for which a network is passed: choose from "
                f"{', '.join(self.names)}",
                "networks",
            )
        self._folders = folders
        self._rules: dict[tuple[str, Weights], Fusion] = {}
        self.networks: list[Network] = [
            load_network(folder, (networks or {}).get(name))
            for name, folder in zip(self.names, folders, strict=True)
        ]
        first = self.networks[0].spec
        for name, network in zip(self.names, self.networks, strict=True):
            if network.spec.classes != first.classes:
                raise UserError(
                    f"the runs {self.names[0]} and {name} know different classes: train both on the "
                    "same videos"
                )

        self.classes = first.classes

    @cached_property
    def recipes(self) -> list[Recipe]:
        """How what each network sees is computed on this machine.

        Raises UserError where a network sees flow that cannot be computed here.
        """
        return [_recipe_here(network) for network in self.networks]

    @property
    def notes(self) -> list[str]:
        """What the user should know: where flow is computed otherwise than it was for training."""
        notes = [
            f"trained on flow by {trained.name} ({trained.algorithm_version}), which is not to be had "
            f"here: {recipe.name} takes its place"
            for network, recipe in zip(self.networks, self.recipes, strict=True)
            if (trained := network.spec.recipe) != recipe and network.spec.values.is_displacement
        ]
        return list(dict.fromkeys(notes))

    def rule(self, name: str = "softmax", weights: Weights | float = ()) -> Fusion:
        """A fusion rule for the runs; what is fitted is fitted once, on the runs' validation scores.

        Raises UserError for a rule or weights that cannot be, and where a run has no such scores.
        """
        if weights != "fit":
            weights = tuple(np.atleast_1d(weights).tolist())
        key = name, weights
        if key not in self._rules:
            fits = needs_held_out(name, weights)
            held_out = held_out_scores_of(self._folders) if fits else ()
            self._rules[key] = rule_for(name, self.names, weights, held_out)
        return self._rules[key]

    def __call__(
        self,
        video: str | Path,
        *,
        weights: Weights = (),
        rule: str = "softmax",
        clips: int = 10,
        crops: int = 1,
        average: Average = "logits",
        top: int = 5,
        on_share: OnShare = lambda _: None,
        on_entries: OnEntries = lambda _, __: None,
    ) -> Prediction:
        """Each run's best classes and, where there are several runs, those of their fusion.

        weights, rule: see `rule`. clips, crops, average: see `Scores`. on_share: is told how much of the
        video's flow is done, 0 to 1. on_entries: is given the prediction and, by the names of the runs,
        what each saw of the video, which is gone when the call returns.

        Raises UserError for a video that cannot be decoded or is too short.
        """
        fusion = self.rule(rule, weights) if len(self.names) > 1 else None
        video = require_file(video)
        networks = dict(zip(self.names, self.networks, strict=True))
        logits: dict[str, Float32] = {}
        entries: dict[str, Entry] = {}
        with tempfile.TemporaryDirectory(prefix="twostream-") as folder:
            for number, (recipe, names) in enumerate(self.groups):
                share = share_of_pass(on_share, number, len(self.groups))
                flows = any(networks[name].spec.values.is_displacement for name in names)
                cache, item = _extract(video, recipe, flows, Path(folder) / str(number), share)
                for name in names:
                    entries[name] = cache.entry(item.id)
                    spec = networks[name].spec
                    reader = ClipReader(cache, spec.values, spec.clip)
                    logits[name] = logits_of_video(
                        networks[name], reader, item, clips=clips, crops=crops, average=average
                    )
            scores = self.scores([str(video)], logits, fusion, clips, crops, average)
            best = {one.name: _best(one, top) for one in scores}
            prediction = Prediction(str(video), best)
            on_entries(prediction, entries)
        return prediction

    @property
    def groups(self) -> list[tuple[Recipe, list[str]]]:
        """The names of the runs that see the same frames and flow, together with the recipe of these."""
        groups: dict[str, tuple[Recipe, list[str]]] = {}
        for name, recipe in zip(self.names, self.recipes, strict=True):
            groups.setdefault(recipe.to_json(), (recipe, []))[1].append(name)
        return list(groups.values())

    def scores(
        self,
        ids: Sequence[str],
        logits: Mapping[str, Float32],
        fusion: Fusion | None,
        clips: int,
        crops: int,
        average: Average,
    ) -> list[Scores]:
        """Of each run in its order, and of the fusion where there is one.

        ids: of N videos, or of parts of a video. logits: (N, K), by the names of the runs.
        """
        scores = [
            Scores(
                name=name,
                ids=tuple(ids),
                logits=logits[name],
                labels=np.full(len(ids), -1),
                classes=self.classes,
                trained_on=(),
                clips=clips,
                crops=crops,
                average=average,
            )
            for name in self.names
        ]
        return [*scores, fusion(scores)] if fusion else scores


def share_of_pass(on_share: OnShare, number: int, passes: int) -> OnShare:
    """What is to be told of one of several passes over a video, so that all of them are one whole."""
    return lambda share: on_share((number + share) / passes)


def _recipe_here(network: Network) -> Recipe:
    try:
        return for_this_machine(network.spec.recipe)
    except UserError:  # as where the flow was imported
        if network.spec.values.is_displacement:
            raise
        return network.spec.recipe


def _extract(
    video: Path, recipe: Recipe, with_flow: bool, folder: Path, on_share: OnShare
) -> tuple[FlowCache, Item]:
    """A cache of one video, read by the same code as any other."""
    algorithm = None if with_flow else NoFlow()
    if algorithm:
        recipe = recipe.with_algorithm(algorithm)
    cache = FlowCache.create(folder, recipe)
    job = Job(video, video.name, cache.path("video"))

    def report(fields: tuple[int, int]) -> None:
        on_share(fields[0] / max(1, fields[1]))

    info = extract_isolated(job, recipe, algorithm, report)
    return cache, Item.unlabelled(info.frames, info.fields, "video")


def _best(scores: Scores, top: int) -> list[tuple[str, float]]:
    probabilities = scores.softmax()[0]
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(scores.classes[i], float(probabilities[i])) for i in order]
