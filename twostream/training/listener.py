"""Who is told how a training goes."""

from collections.abc import Callable
from dataclasses import dataclass

from twostream.training.fit import Row


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told how a training goes; by default nobody."""

    say: Callable[[str], None] = lambda _: None
    """Is given sentences."""

    on_epoch: Callable[[Row, int], None] = lambda *_: None
    """Is given the measures of an epoch that has ended, and how many epochs there are."""

    on_clips: Callable[[int, int], None] = lambda *_: None
    """Is given how many clips have been scored after the training, and of how many."""

    progress_bar: bool = False
    """Whether Lightning may draw its own bar over the batches."""


SILENT = Listener()
"""Nobody, as in the helping processes of a distributed run."""
