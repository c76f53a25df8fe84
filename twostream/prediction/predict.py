"""New videos through every run and the fusion, by the recipes that the checkpoints were trained on."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.one import Job, extract_isolated
from flowcache.workers.devices import for_this_machine
from twostream.data.index import Item
from twostream.fusion import Fusion, Weights, names_of, needs_held_out, rule_for
from twostream.nets.normalize import Normalized
from twostream.runs import files
from twostream.runs.checkpoint import Spec, load_checkpoint
from twostream.runs.training_options import Average
from twostream.scoring.evaluate import score
from twostream.scoring.of_runs import held_out_scores_of
from twostream.scoring.scores import Scores


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one video."""

    video: str

    best: Mapping[str, Sequence[tuple[str, float]]]
    """By the name of each run and of the fusion: (class, probability), the best first."""


class Predictor:
    """The networks of one or several runs, loaded once."""

    def __init__(
        self, folders: Sequence[Path], networks: Mapping[str, nn.Module] | None = None
    ) -> None:
        """networks: a user's own, by the names of the runs' folders.

        Raises UserError for a folder without a network, and where not all know the same classes.
        """
        self.names = names_of(folders, "run")
        self._folders = folders
        self._rules: dict[tuple[str, Weights], Fusion] = {}
        self._streams: list[tuple[Normalized, Spec]] = [
            load_checkpoint(folder / files.BEST, (networks or {}).get(folder.name))
            for folder in folders
        ]
        first = self._streams[0][1]
        for name, (_, spec) in zip(self.names, self._streams, strict=True):
            if spec.classes != first.classes:
                raise UserError(
                    f"the runs {self.names[0]} and {name} know different classes: train both on the "
                    "same videos"
                )

        self._recipes = [for_this_machine(spec.recipe) for _, spec in self._streams]

    @property
    def notes(self) -> list[str]:
        """What the user should know: where flow is computed otherwise than it was for training."""
        notes = [
            f"trained on flow by {spec.recipe.name} ({spec.recipe.algorithm_version}), which is not "
            f"to be had here: {recipe.name} takes its place"
            for (_, spec), recipe in zip(self._streams, self._recipes, strict=True)
            if recipe != spec.recipe
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

        weights, rule: see `rule`. clips, crops, average: see `scoring.evaluate.score`.

        Raises UserError for a video that cannot be decoded or is too short.
        """
        fusion = self.rule(rule, weights) if len(self.names) > 1 else None
        video = Path(video)
        if not video.is_file():
            raise UserError(f"{video} is no file: name a video", "videos")
        scores = []
        with tempfile.TemporaryDirectory(prefix="twostream-") as folder:
            caches: dict[str, tuple[FlowCache, Item]] = {}
            for (model, spec), recipe in zip(self._streams, self._recipes, strict=True):
                key = recipe.to_json()
                if key not in caches:
                    caches[key] = _extract(video, recipe, Path(folder) / str(len(caches)))
                cache, item = caches[key]
                scores.append(
                    score(
                        model,
                        spec,
                        cache,
                        [item],
                        clips=clips,
                        crops=crops,
                        average=average,
                        batch_size=16,
                        workers=0,
                    )
                )
        scores = [
            replace(one, name=name, ids=(str(video),))
            for one, name in zip(scores, self.names, strict=True)
        ]
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
