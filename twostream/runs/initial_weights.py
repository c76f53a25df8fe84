"""Where the weights of a run start, and what they have learnt from before."""

from pathlib import Path
from typing import Any

from flowcache.errors import UserError
from twostream.data.index import VideoIndex, VideoIndexError
from twostream.data.splits import check_leakage
from twostream.nets.normalize import Normalized
from twostream.nets.pretrained import (
    fetch,
    installed_weights,
    load_published,
    pretrained_of,
    read_state,
)
from twostream.runs.checkpoint import spec_of_weights
from twostream.runs.spec import Spec


def load_weights(model: Normalized, weights: str) -> list[str]:
    """Start from weights, by the words of the option `init`; returns what was done, in phrases."""
    network: Any = model.network
    if weights == "auto":
        try:
            state = installed_weights(network)
        except UserError as error:
            return [f"none: {error}"]
        return ["the published ones", *load_published(network, state)]
    if weights != "pretrained":
        return load_published(network, read_state(weights))
    published = pretrained_of(network).published
    if published is None:
        raise UserError("nobody published weights of this model: name a file, or none", "init")
    return load_published(network, fetch(published))


def learnt_with(weights: str, spec: Spec, index: VideoIndex) -> tuple[str, ...]:
    """What a network will have learnt from that starts from weights: `Spec.learnt`, theirs added.

    UserError where the weights have learnt from a video that this run tests on.
    """
    theirs = spec_of_weights(Path(weights))
    if theirs is None:
        return spec.learnt
    # A checkpoint of before 2026-11-26 has the ids of its own videos alone.
    ids, contents = {*theirs.split.train, *theirs.split.validation}, set(theirs.learnt)
    learnt = [item for item in index.items if item.id in ids or item.sha256 in contents]
    try:
        check_leakage(learnt, index.select(spec.split.test))
    except VideoIndexError as error:
        raise UserError(
            f"{weights} has learnt from videos that this run tests on ({error}): give both runs the "
            "same split",
            "init",
        ) from None
    return tuple(sorted({*spec.learnt, *theirs.learnt, *(item.sha256 for item in learnt)}))
