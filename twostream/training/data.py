"""The loaders of one training: in an order that a resumed run repeats, divided over processes."""

from collections.abc import Iterator, Sequence
from typing import Any

import lightning
import numpy as np
from torch.utils.data import DataLoader, Sampler

from flowcache.cache.store import FlowCache
from twostream.data.clip_spec import ClipSpec
from twostream.data.clips import Batch, TestClips, TrainClips, make_loader
from twostream.data.index import Item
from twostream.data.streams import Stream


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, number) pairs in an order that depends on (seed, epoch) alone; split over processes.

    So a resumed run sees what an undisturbed one would have seen.
    """

    def __init__(
        self, count: int, seed: int, rank: int = 0, world: int = 1, epoch: int = 0
    ) -> None:
        self._count, self._seed, self._rank, self._world = count, seed, rank, world
        self._epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._count // self._world)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._count)
        # Every process gets equally many, or the others would wait for ever: some videos repeat.
        order = np.resize(order, len(self) * self._world)
        return ((self._epoch, int(number)) for number in order[self._rank :: self._world])


class ClipData(lightning.LightningDataModule):
    """The loaders of one run: training clips, and evenly spaced ones of the validation part."""

    def __init__(
        self,
        cache: FlowCache,
        train: Sequence[Item],
        validation: Sequence[Item],
        stream: Stream,
        spec: ClipSpec,
        *,
        seed: int,
        batch_size: int,
        workers: int,
        validation_clips: int = 3,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._train = TrainClips(cache, train, stream, spec, seed)
        self._validation = TestClips(cache, validation, stream, spec, validation_clips, 1)
        self._seed, self._batch_size, self._workers = seed, batch_size, workers
        # The trainer starts the loader before it says which epoch a resumed run begins with.
        self._first_epoch = first_epoch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled anew each epoch; the last batch may be smaller."""
        rank, world = 0, 1
        if self.trainer is not None:
            rank, world = self.trainer.global_rank, self.trainer.world_size
        sampler = EpochSampler(len(self._train), self._seed, rank, world, self._first_epoch)
        return make_loader(self._train, self._batch_size, self._workers, sampler)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Evenly spaced clips, centre crop; nothing where there is no validation part."""
        if len(self._validation) == 0:
            return []
        return make_loader(self._validation, self._batch_size, self._workers)
