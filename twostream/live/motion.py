"""The second thread: the flow that ends at each frame, as a cache would hold it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from flowcache.cache.recipe import Recipe
from flowcache.types import Codes, UInt8
from flowcache.workers.device_client import flow_here
from twostream.live.capture import Captured


@dataclass(frozen=True, eq=False)
class Moved:
    """A frame and the flow that ends at it."""

    frame: Captured

    codes: Sequence[Codes | None]
    """For each recipe, (C, H, W) as a cache has it; None for a first frame, or where none is read."""

    def is_complete(self, wanted: Sequence[bool]) -> bool:
        """Whether there is flow by each recipe by which it is wanted."""
        return all(one is not None for one, reads in zip(self.codes, wanted, strict=True) if reads)


class Motion:
    """Computes flow by several recipes, of the networks that read it."""

    def __init__(self, recipes: Sequence[Recipe], wanted: Sequence[bool]) -> None:
        """wanted: for each recipe, whether a network reads flow.

        UserError where an algorithm is not to be had.
        """
        self._recipes = recipes
        self._algorithms = [
            recipe.create_algorithm() if reads else None
            for recipe, reads in zip(recipes, wanted, strict=True)
        ]

    def __call__(self, frame: Captured) -> Moved:
        """The flow of one frame. UserError for a frame that the algorithm refuses."""
        codes: list[Codes | None] = []
        for recipe, algorithm, rgb, before in zip(
            self._recipes, self._algorithms, frame.rgb, frame.before, strict=True
        ):
            if algorithm is None or before is None:
                codes.append(None)
                continue
            # The frame before is as far away as the recipe says, so here it is one step.
            pair = np.stack([_gray(before), _gray(rgb)])
            ((fields, _),) = flow_here([pair], algorithm, 1, recipe.quantizer, recipe.backward)
            codes.append(fields[0])
        return Moved(frame, codes)


def _gray(rgb: UInt8) -> UInt8:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
