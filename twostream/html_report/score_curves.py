"""What runs and their fusion say of a video from moment to moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from flowcache.cache.store import FlowCache
from flowcache.types import Float32, Float64
from twostream.data.clip_reader import ClipReader, numbers_of_clips
from twostream.data.index import Item
from twostream.fusion import Fusion, gives_probabilities
from twostream.prediction.networks import Network, load_network
from twostream.runs.files import name_of_run
from twostream.scoring.scores import Scores

CLIPS = 25
"""How many evenly spaced moments of a video are asked about."""


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """The probabilities of all classes over a video, by a run or by the fusion."""

    by: str
    classes: Sequence[str]
    times: Float64
    """(M,), seconds: the middle of each clip."""

    probabilities: Float32
    """(M, K)."""


def networks_of(folders: Sequence[Path], cache: FlowCache) -> dict[str, Network]:
    """The networks of runs by the names of their folders.

    Raises UserError where a folder has none, and where a network has learnt from flow that is quantised
    otherwise than the cache's.
    """
    networks = {name_of_run(folder): load_network(folder) for folder in folders}
    for name, network in networks.items():
        network.spec.require_steps(cache.recipe, cache.root, name, "cache")
    return networks


def score_curves(
    networks: Mapping[str, Network],
    fusion: Fusion | None,
    cache: FlowCache,
    identifier: str,
    clips: int = CLIPS,
) -> list[ScoreCurve]:
    """Of one video in a cache: a curve for each network, and one for the fusion where there is one.

    Clip n of each network lies at the same share of the video, so it is fused with clip n of the others.
    A rule that gives no probabilities has no curve.
    """
    logits, middles = [], []
    with cache[identifier] as entry:
        item = Item.unlabelled(entry.info.frames, entry.info.fields, identifier)
        for network in networks.values():
            stream, spec = network.spec.values, network.spec.clip
            reader = ClipReader(cache, stream, spec)
            each = [network.logits(reader.even(item, number, clips, 1)) for number in range(clips)]
            logits.append(np.concatenate(each))
            middles.append(entry.times[numbers_of_clips(entry, stream, spec, clips)].mean(1))
    scores = [
        Scores(
            name=name,
            ids=tuple(f"{identifier} {number}" for number in range(clips)),
            logits=of_run,
            labels=np.full(clips, -1),
            classes=network.spec.classes,
            trained_on=(),
        )
        for (name, network), of_run in zip(networks.items(), logits, strict=True)
    ]
    if fusion and gives_probabilities(fusion.name):
        scores.append(fusion(scores))
        middles.append(np.mean(middles, 0))
    return [
        ScoreCurve(one.name, one.classes, when, softmax(one.logits, axis=1))
        for one, when in zip(scores, middles, strict=True)
    ]
