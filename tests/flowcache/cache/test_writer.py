import made_entries as entries
import made_videos as made
import numpy as np
import pytest

from flowcache.cache.entry import Entry
from flowcache.cache.writer import write_entry
from flowcache.errors import UserError
from flowcache.types import FlowStack, Frames


def rounded(flow, recipe):
    """Codes as one would compute them by hand, in double precision."""
    codes = np.rint(flow.astype(float) / recipe.quantizer_step)
    return np.clip(codes, -recipe.quantizer.levels, recipe.quantizer.levels).astype(int)


# What is written is read back


@pytest.mark.parametrize("step", [20 / 127, 0.25, 20 / 2000], ids=["int8", "quarter", "int16"])
@pytest.mark.parametrize("shape", [(45, 61), (1, 1), (3, 200), (64, 64)])
def test_flow_comes_back_as_the_nearest_codes(tmp_path, recipe, step, shape):
    made_by = recipe(quantizer_step=step)
    for scale in (0, 5, 60):
        flow = entries.smooth_flow(5, *shape, scale)
        frames = np.zeros((6, *shape, 3), np.uint8)
        info = entries.write(tmp_path / "v.h5", made_by, flow, frames, batches=2)
        with Entry(tmp_path / "v.h5") as entry:
            codes = entry.codes[:]
            expected = rounded(flow, made_by)
            assert codes.dtype == made_by.quantizer.dtype
            # Single precision may decide a tie otherwise, and nothing else.
            different = codes != expected
            assert np.abs(codes - expected).max() <= 1
            fraction = np.abs(flow.astype(float) / step) % 1
            np.testing.assert_allclose(fraction[different], 0.5, atol=2e-3)
            np.testing.assert_allclose(entry.flow[:].data, codes * step, rtol=1e-6)
            means = (codes.astype(float) * step).mean((2, 3))
            np.testing.assert_allclose(entry.flow_means, means, atol=1e-5)
            beyond = np.abs(flow) > (made_by.quantizer.levels + 0.5) * step
            assert info.saturated == pytest.approx(beyond.sum(), abs=int(different.sum()))
            assert info.saturated_share == pytest.approx(info.saturated / flow.size)
            assert entry.verify() == info


def test_how_it_was_batched_does_not_show(tmp_path, recipe, rgb):
    flow = entries.smooth_flow(8, 45, 61)
    entries.write(tmp_path / "one.h5", recipe(), flow, rgb)
    one = Entry(tmp_path / "one.h5")
    for batches in (2, 5, 8):
        entries.write(tmp_path / "more.h5", recipe(), flow, rgb, batches=batches)
        with Entry(tmp_path / "more.h5") as more:
            np.testing.assert_array_equal(one.codes[:], more.codes[:])
            np.testing.assert_array_equal(one.rgb[:], more.rgb[:])
            np.testing.assert_array_equal(one.times, more.times)
            assert one.info == more.info


def test_the_same_content_is_the_same_file(tmp_path, recipe, rgb):
    flow = entries.smooth_flow(8, 45, 61)
    for name in ("one.h5", "two.h5"):
        entries.write(tmp_path / name, recipe(), flow, rgb)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@pytest.mark.parametrize(("quality", "error"), [(100, 1.5), (95, 2.0), (90, 3.0), (50, 7.0)])
def test_frames_come_back_near_the_originals(tmp_path, recipe, rgb, quality, error):
    entries.write(
        tmp_path / "v.h5", recipe(jpeg_quality=quality), entries.smooth_flow(8, 45, 61), rgb
    )
    back = Entry(tmp_path / "v.h5").rgb[:]
    assert back.shape == rgb.shape
    for channel in range(3):  # each, so that red and blue cannot have changed places
        assert np.abs(back[..., channel].astype(int) - rgb[..., channel]).mean() < error
    assert np.abs(back[..., 0].astype(int) - rgb[..., 2]).mean() > 15


def test_the_info_holds_what_the_writer_was_told(tmp_path, recipe, rgb):
    made_by = recipe("tvl1", {"lambda": 0.2})
    flow = entries.smooth_flow(8, 45, 61)
    written = entries.write(tmp_path / "v.h5", made_by, flow, rgb, partial="it broke at frame 9")
    info = Entry(tmp_path / "v.h5").info
    assert info == written
    assert (info.recipe, info.source) == (made_by, entries.SOURCE)
    assert (info.original_width, info.original_height) == (99, 77)
    assert (info.width, info.height, info.frames, info.fields) == (61, 45, 9, 8)
    assert (info.frame_rate, info.times_from) == (25.0, "container")
    assert info.partial == "it broke at frame 9"


@pytest.mark.parametrize(
    ("times", "rate", "expected", "source"),
    [
        ([0.1, 0.2, 0.9], None, [0.1, 0.2, 0.9], "container"),
        ([0.1, 0.3, 0.2], made.Fraction(10), [0.1, 0.2, 0.3], "frame rate"),
        ([np.nan] * 3, made.Fraction(10), [0.0, 0.1, 0.2], "frame rate"),
        ([np.nan] * 3, None, [0.0, 0.04, 0.08], "frame rate"),
    ],
)
def test_stored_times_rise(tmp_path, recipe, rgb, times, rate, expected, source):
    flow = entries.smooth_flow(2, 45, 61)
    entries.write(tmp_path / "v.h5", recipe(), flow, rgb[:3], np.array(times), rate=rate)
    entry = Entry(tmp_path / "v.h5")
    np.testing.assert_allclose(entry.times, expected)
    assert entry.info.times_from == source
    assert entry.info.frame_rate == (rate or 0)
    entry.verify()


# Writers that fail


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("when", ["at once", "after frames", "after flow", "after finish"])
def test_an_error_inside_the_writer_leaves_nothing(tmp_path, recipe, rgb, error, when):
    path = tmp_path / "a" / "v.h5"
    with pytest.raises(error), write_entry(path, recipe()) as writer:  # noqa: PT012
        if when == "at once":
            raise error
        writer.add_frames(Frames(rgb, np.arange(9.0)))
        if when == "after frames":
            raise error
        flow = FlowStack(entries.smooth_flow(8, 45, 61))
        writer.add_codes(*recipe().quantizer.encode(flow))
        if when == "after flow":
            raise error
        writer.finish(entries.SOURCE, (1, 1), None, "")
        raise error
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_failed_rewrite_leaves_the_old_entry(entry_path, recipe):
    before = entry_path.read_bytes()
    with pytest.raises(ValueError, match="x"), write_entry(entry_path, recipe()):
        raise ValueError("x")
    assert entry_path.read_bytes() == before


def test_an_entry_without_a_field_or_with_what_is_no_number_is_refused(tmp_path, recipe, rgb):
    with pytest.raises(ValueError, match="at least one field"):
        entries.write(
            tmp_path / "v.h5", recipe(), np.empty((0, 2, 45, 61), np.float32), rgb[:1], batches=1
        )
    with pytest.raises(ValueError, match="not numbers"):
        entries.write(tmp_path / "v.h5", recipe(), np.full((8, 2, 45, 61), np.nan, np.float32), rgb)
    assert not list(tmp_path.iterdir())


def test_what_an_entry_says_of_itself_has_a_limit(tmp_path, recipe, rgb):
    flow = entries.smooth_flow(8, 45, 61)
    entries.write(tmp_path / "v.h5", recipe(), flow, rgb, partial="x" * 55_000)
    assert Entry(tmp_path / "v.h5").verify().partial == "x" * 55_000
    before = (tmp_path / "v.h5").read_bytes()
    with pytest.raises(UserError, match=r"takes \d+ bytes and has room for 60000"):
        entries.write(tmp_path / "v.h5", recipe(), flow, rgb, partial="x" * 60_000)
    assert (tmp_path / "v.h5").read_bytes() == before
