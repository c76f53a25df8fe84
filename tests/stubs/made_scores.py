"""Scores of videos that were never seen."""

from dataclasses import replace

import numpy as np

from twostream.scoring.scores import Scores


def in_another_order(one, seed=1):
    """The same videos, with all that is known of them, in an order that is drawn."""
    order = np.random.default_rng(seed).permutation(len(one))
    return replace(
        one,
        ids=tuple(one.ids[i] for i in order),
        logits=one.logits[order],
        labels=one.labels[order],
        groups=tuple(one.groups[i] for i in order) if one.groups else (),
    )


def scores(name="spatial", n=8, k=3, seed=0):
    """Random logits of n videos and k classes."""
    rng = np.random.default_rng(seed)
    return Scores(
        name=name,
        ids=tuple(f"class {i % k}/v {i}, x" for i in range(n)),
        logits=rng.normal(0, 2, (n, k)).astype(np.float32),
        labels=np.arange(n) % k,
        classes=tuple(f"class {c}" for c in range(k)),
        trained_on=(),
    )


def told_streams(
    seed=0,
    n=40,
    k=5,
    tells=(2.0, 2.0),
    sureness=(1.0, 1.0),
    names=("spatial", "temporal"),
    part="test",
):
    """Streams of normal logits in which the label stands out, each with an error of its own.

    tells: by how much the label's logit is higher than the others, in their standard deviations. A stream
        tells what a softmax of `tells` × logits says, so it is calibrated where its sureness is 1.
    sureness: how much surer each stream is than it should be. part: what the ids begin with.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    streams = []
    for name, tell, sure in zip(names, tells, sureness, strict=True):
        logits = rng.normal(0, 1, (n, k))
        logits[np.arange(n), labels] += tell
        streams.append(
            Scores(
                name=name,
                ids=tuple(f"{part}/{i}" for i in range(n)),
                logits=(sure * max(tell, 0.5) * logits).astype(np.float32),
                labels=labels,
                classes=tuple(f"class {c}" for c in range(k)),
                trained_on=("train/0",),
                groups=tuple(f"{part} group {i // (2 * k)}" for i in range(n)),
            )
        )
    return streams
