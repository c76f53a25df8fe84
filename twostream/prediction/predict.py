"""New videos through every run and the fusion, by the recipes that the checkpoints were trained on."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.one import Job, extract_isolated
from flowcache.workers.devices import for_this_machine
from twostream.data.clip_reader import ClipReader
from twostream.data.index import Item
from twostream.fusion import Fusion, Weights, names_of, needs_held_out, rule_for
from twostream.prediction.networks import Network, load_network, logits_of_video
from twostream.runs.training_options import Average
from twostream.scoring.of_runs import held_out_scores_of
from twostream.scoring.scores import Scores

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one video."""

    video: str

    best: Mapping[str, Sequence[tuple[str, float]]]
    """By the name of each run and of the fusion: (class, probability), the best first."""


class Predictor:
    """The networks of one or several runs, loaded once."""

    def __init__(
        self, folders: Sequence[Path], networks: "Mapping[str, nn.Module] | None" = None
    ) -> None:
        """networks: a user's own, by the names of the runs' folders.

        Raises UserError for a folder without a network, and where not all know the same classes.
        """
        self.names = names_of(folders, "run")
        self._folders = folders
        self._rules: dict[tuple[str, Weights], Fusion] = {}
        self.networks: list[Network] = [
            load_network(folder, (networks or {}).get(folder.name)) for folder in folders
        ]
        first = self.networks[0].spec
        for name, network in zip(self.names, self.networks, strict=True):
            if network.spec.classes != first.classes:
                raise UserError(
                    f"the runs {self.names[0]} and {name} know different classes: train both on the "
                    "same videos"
                )

        self._recipes = [for_this_machine(network.spec.recipe) for network in self.networks]

    @property
    def notes(self) -> list[str]:
        """What the user should know: where flow is computed otherwise than it was for training."""
        notes = [
            f"trained on flow by {trained.name} ({trained.algorithm_version}), which is not to be had "
            f"here: {recipe.name} takes its place"
            for trained, recipe in zip(
                (network.spec.recipe for network in self.networks), self._recipes, strict=True
            )
            if recipe != trained
        ]
        return list(dict.fromkeys(notes))

    def rule(self, name: str = "softmax", weights: Weights = ()) -> Fusion:
        """A fusion rule for the runs; what is fitted is fitted once, on the runs' validation scores.

        Raises UserError for a rule or weights that cannot be, and where a run has no such scores.
        """
        key = name, weights if weights == "fit" else tuple(weights)
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
    ) -> Prediction:
        """Each run's best classes and, where there are several runs, those of their fusion.

        weights, rule: see `rule`. clips, crops, average: see `Scores`.

        Raises UserError for a video that cannot be decoded or is too short.
        """
        fusion = self.rule(rule, weights) if len(self.names) > 1 else None
        video = Path(video)
        if not video.is_file():
            raise UserError(f"{video} is no file: name a video", "videos")
        scores = []
        with tempfile.TemporaryDirectory(prefix="twostream-") as folder:
            caches: dict[str, tuple[FlowCache, Item]] = {}
            for name, network, recipe in zip(self.names, self.networks, self._recipes, strict=True):
                key = recipe.to_json()
                if key not in caches:
                    caches[key] = _extract(video, recipe, Path(folder) / str(len(caches)))
                cache, item = caches[key]
                reader = ClipReader(cache, network.spec.values, network.spec.clip)
                logits = logits_of_video(
                    network, reader, item, clips=clips, crops=crops, average=average
                )
                scores.append(
                    Scores(
                        name=name,
                        ids=(str(video),),
                        logits=logits,
                        labels=np.array([item.label]),
                        classes=network.spec.classes,
                        trained_on=(),
                        clips=clips,
                        crops=crops,
                        average=average,
                    )
                )
        if fusion:
            scores.append(fusion(scores))
        return Prediction(str(video), {one.name: _best(one, top) for one in scores})


def _extract(video: Path, recipe: Recipe, folder: Path) -> tuple[FlowCache, Item]:
    """A cache of one video, read by the same code as any other."""
    cache = FlowCache.create(folder, recipe)
    info = extract_isolated(Job(video, video.name, cache.path("video")), recipe)
    item = Item(id="video", label=-1, group="", frames=info.frames, fields=info.fields, sha256="")
    return cache, item


def _best(scores: Scores, top: int) -> list[tuple[str, float]]:
    probabilities = scores.softmax()[0]
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(scores.classes[i], float(probabilities[i])) for i in order]
