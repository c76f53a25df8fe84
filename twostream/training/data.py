"""The loaders of one training: in an order that a resumed run repeats, divided over processes."""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import lightning
import numpy as np
from torch.utils.data import DataLoader, Sampler

from flowcache.cache.store import FlowCache
from twostream.data.clip_spec import ClipSpec
from twostream.data.clips import Batch, TestClips, TrainClips, make_loader
from twostream.data.index import Item
from twostream.data.streams import Stream


class EpochSampler(Sampler[tuple[int, int]]):
    """(visit, number) pairs in an order that depends on (seed, epoch) alone; split over processes.

    So a resumed run sees what an undisturbed one would have seen. An epoch visits every video `repeats`
    times, and visits are counted from the first epoch on.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        epoch: int = 0,
        repeats: int = 1,
    ) -> None:
        self._count, self._seed, self._rank, self._world = count, seed, rank, world
        self._epoch, self._repeats = epoch, repeats

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._count * self._repeats // self._world)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        visits = range(self._epoch * self._repeats, (self._epoch + 1) * self._repeats)
        pairs = [
            (visit, int(number))
            for visit in visits
            for number in np.random.default_rng([self._seed, visit]).permutation(self._count)
        ]
        # Every process gets equally many, or the others would wait for ever: some visits are made twice.
        wanted = len(self) * self._world
        pairs = list(islice(cycle(pairs), wanted if pairs else 0))
        return iter(pairs[self._rank :: self._world])


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
        repeats: int = 1,
        segments: int = 1,
    ) -> None:
        super().__init__()
        self._train = TrainClips(cache, train, stream, spec, seed, segments)
        self._validation = TestClips(cache, validation, stream, spec, validation_clips, 1)
        self._seed, self._batch_size, self._workers = seed, batch_size, workers
        # The trainer starts the loader before it says which epoch a resumed run begins with.
        self._first_epoch, self._repeats = first_epoch, repeats

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled anew each epoch; the last batch may be smaller."""
        rank, world = 0, 1
        if self.trainer is not None:
            rank, world = self.trainer.global_rank, self.trainer.world_size
        sampler = EpochSampler(
            len(self._train), self._seed, rank, world, self._first_epoch, self._repeats
        )
        return make_loader(self._train, self._batch_size, self._workers, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Evenly spaced clips, centre crop."""
        return make_loader(self._validation, self._batch_size, self._workers)
