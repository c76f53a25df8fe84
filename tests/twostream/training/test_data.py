from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twostream.data.clip_spec import ClipSpec
from twostream.data.streams import STREAMS
from twostream.training.data import ClipData, EpochSampler

FLOW = STREAMS["temporal"]


@given(st.integers(1, 50), st.integers(1, 6), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_visits_every_video_and_all_processes_equally_often(count, world, seed, epoch):
    ranks = []
    for rank in range(world):
        sampler = EpochSampler(count, seed, rank, world)
        sampler.set_epoch(epoch)
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler)
        assert all(e == epoch for e, _ in ranks[-1])
    visits = Counter(n for own in ranks for _, n in own)
    assert set(visits) == set(range(count))
    assert max(visits.values()) - min(visits.values()) <= 1


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_with_repeats_an_epoch_visits_every_video_so_often_and_no_visit_is_made_twice(
    count, world, repeats, epochs
):
    visits = []
    for epoch in range(epochs + 1):
        for rank in range(world):
            sampler = EpochSampler(count, 0, rank, world, epoch, repeats)
            assert len(list(sampler)) == len(sampler)
            visits += list(sampler)
    times = Counter(visits)
    assert set(times) == {(v, n) for v in range(repeats * (epochs + 1)) for n in range(count)}
    # Only where the processes' shares are made equal.
    assert sum(times.values()) - len(times) < world * (epochs + 1)


def test_the_order_depends_on_the_seed_and_the_epoch_alone():
    def order(seed, epoch):
        sampler = EpochSampler(30, seed)
        sampler.set_epoch(epoch)
        return [n for _, n in sampler]

    assert order(1, 4) == order(1, 4)
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9
    sampler = EpochSampler(30, 1)
    sampler.set_epoch(2)
    assert list(sampler) == list(sampler)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 20, 64])
def test_nothing_is_dropped_from_the_last_batch(batch_size, toy, items):
    everything = items(toy)
    data = ClipData(
        toy,
        everything[:14],
        everything[14:],
        FLOW,
        ClipSpec(length=2, crop=8),
        seed=0,
        batch_size=batch_size,
        workers=0,
        validation_clips=3,
    )
    train = list(data.train_dataloader())
    assert sum(len(b.clip) for b in train) == 14
    labels = torch.cat([b.label for b in train]).tolist()
    assert Counter(labels) == Counter(item.label for item in everything[:14])
    videos = torch.cat([b.video for b in data.val_dataloader()]).tolist()
    assert videos == [v for v in range(6) for _ in range(3)]
