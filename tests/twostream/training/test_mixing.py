import pytest
import torch

from twostream.runs.training_options import Schedule
from twostream.training.mixing import erased, mix


def videos(count=4, segments=1, side=10):
    """Each video is full of its own number, from 1 on."""
    numbers = torch.arange(1.0, count + 1).repeat_interleave(segments)
    return numbers[:, None, None, None, None].expand(-1, 3, 2, side, side).clone()


def test_by_default_nothing_is_mixed_and_no_chance_is_drawn():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    mixed = mix(videos(), 1, Schedule())
    assert torch.equal(mixed.values, videos())
    assert mixed.share == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("segments", [1, 3])
def test_mixup_is_the_weighted_mean_of_each_video_and_its_partner(segments):
    torch.manual_seed(1)
    shares = []
    for _ in range(20):
        mixed = mix(videos(segments=segments), segments, Schedule(mixup=0.5))
        own = torch.arange(1.0, 5)
        expected = mixed.share * own + (1 - mixed.share) * own[mixed.partner]
        found = mixed.values.unflatten(0, (4, segments))
        torch.testing.assert_close(
            found, expected[:, None, None, None, None, None].expand_as(found)
        )
        assert sorted(mixed.partner.tolist()) == [0, 1, 2, 3]
        shares.append(mixed.share)
    assert 0 <= min(shares) < 0.3
    assert 0.7 < max(shares) <= 1


@pytest.mark.parametrize("segments", [1, 2])
def test_cutmix_pastes_one_rectangle_and_its_share_is_counted(segments):
    torch.manual_seed(2)
    for _ in range(20):
        mixed = mix(videos(segments=segments), segments, Schedule(cutmix=1.0))
        own = torch.arange(1.0, 5).repeat_interleave(segments)
        foreign = own.unflatten(0, (4, segments))[mixed.partner].flatten()
        for values, mine, theirs in zip(mixed.values, own, foreign, strict=True):
            assert set(values.unique().tolist()) <= {float(mine), float(theirs)}
            assert torch.equal(values, values[:1, :1].expand_as(values))  # the same in all frames
            if mine != theirs:
                kept = (values[0, 0] == mine).float()
                assert float(kept.mean()) == pytest.approx(mixed.share)
                gone = 1 - kept
                # A rectangle is the product of its sides.
                sides = gone.amax(1)[:, None] * gone.amax(0)
                assert torch.equal(gone, sides)


def test_what_is_erased_is_a_rectangle_of_zeros_of_a_share_of_the_videos():
    torch.manual_seed(3)
    given = videos(count=300, segments=2, side=20)
    found = erased(given, 2, 0.25)
    assert torch.equal(given, videos(count=300, segments=2, side=20))  # in place nothing changes
    blank = (found == 0).float()
    touched = blank.flatten(1).amax(1).bool()
    assert torch.equal(touched[0::2], touched[1::2])
    assert 50 < int(touched[0::2].sum()) < 100  # 75 ± 3.3 standard deviations
    for video in blank[touched]:
        assert torch.equal(video, video[:1, :1].expand_as(video))
        rectangle = video[0, 0]
        assert torch.equal(rectangle, rectangle.amax(1)[:, None] * rectangle.amax(0))
        assert 0.01 < float(rectangle.mean()) < 0.37
    assert torch.equal(found[~touched], given[~touched])
