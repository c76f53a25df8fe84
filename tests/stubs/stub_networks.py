"""Networks that are not trained: their logits are sums over a clip, so each byte of it counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowcache.cache.recipe import Recipe
from twostream.data.clip_reader import Clip
from twostream.data.clip_spec import ClipSpec
from twostream.data.splits import Split
from twostream.runs.spec import Spec

CLASSES = ("calm", "wild", "odd")


@dataclass
class StubNetwork:
    """See `prediction.networks.Network`."""

    spec: Spec
    seen: list[Clip] = field(default_factory=list)

    def logits(self, clip: Clip) -> Any:
        """Sums that depend on the place in the clip and on time, (B, K)."""
        self.seen.append(clip)
        values = clip.values.astype(np.float64) - 10 * clip.mean[..., None, None]
        values = values * clip.gain[:, None, :, None, None]
        shape = (len(self.spec.classes), *values.shape[1:])
        weights = np.random.default_rng(0).normal(size=shape) / 200
        return np.einsum("btchw,ktchw->bk", values, weights).astype(np.float32)


def stub_network(
    stream: str, recipe: Recipe, classes: Sequence[str] = CLASSES, **clip: Any
) -> StubNetwork:
    """A network of a stream; clip: what is not the smallest."""
    how = {"length": 1 if stream == "spatial" else 3, "stride": 1, "crop": 16, "resize": 0}
    return StubNetwork(
        Spec(
            stream=stream,
            model="stub",
            options={},
            classes=tuple(classes),
            clip=ClipSpec(**how | clip),
            recipe=recipe,
            split=Split((), (), ()),
        )
    )
