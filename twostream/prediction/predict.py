"""New videos through every stream and the fusion, by the recipes that the checkpoints were trained on."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowcache import plugins
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.one import Job, extract_isolated
from flowcache.workers.devices import for_this_machine
from twostream import fusion
from twostream.data.index import Item
from twostream.nets.normalize import Normalized
from twostream.runs.checkpoint import Spec, load_checkpoint
from twostream.scoring.scores import Scores
from twostream.stages import check_weights, score


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one video: `best[stream]` is (class, probability), best first."""

    video: str
    best: Mapping[str, Sequence[tuple[str, float]]]


class Predictor:
    """Checkpoints, loaded once. UserError where they do not know the same classes."""

    def __init__(self, checkpoints: Sequence[Path]) -> None:
        self._streams: list[tuple[Normalized, Spec]] = [load_checkpoint(p) for p in checkpoints]
        first = self._streams[0][1]
        for _, spec in self._streams[1:]:
            if spec.classes != first.classes:
                raise UserError(
                    f"the {first.stream} and the {spec.stream} checkpoint know different classes: "
                    "train both on the same videos"
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

    @property
    def names(self) -> list[str]:
        """The streams."""
        return [spec.stream for _, spec in self._streams]

    def __call__(
        self,
        video: Path,
        *,
        weights: Mapping[str, float],
        rule: str = "softmax",
        clips: int = 10,
        crops: int = 1,
        top: int = 5,
    ) -> Prediction:
        """Each stream's best classes and, where there are several streams, those of their fusion.

        Raises UserError for a video that cannot be decoded or is too short.
        """
        if len(self._streams) > 1:
            check_weights(weights)
        if not video.is_file():
            raise UserError(f"{video} is no file: name a video")
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
                        batch_size=16,
                        workers=0,
                    )
                )
        if len(scores) > 1:
            fuse: Callable[[Sequence[Scores]], Scores] = plugins.create(
                fusion, rule, weights=weights
            )
            scores.append(fuse(scores))
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
