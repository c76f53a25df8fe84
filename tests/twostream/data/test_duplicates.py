import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_videos import scene

from flowcache.cache.store import NoSuchEntryError
from twostream.data.duplicates import FRAMES, NEAR, distances, hashes_of, near_duplicates


def filmed(seed, count=12, height=64, width=80):
    """A scene of its own, before which the camera moves: uint8 (T, H, W, 3)."""
    gray = [scene(height, width, 0.4 * t, 0.1 * t, seed, period=40) for t in range(count)]
    return np.repeat(np.rint(np.stack(gray)).astype(np.uint8)[..., None], 3, -1)


def each(change):
    return lambda frames: np.stack([change(frame) for frame in frames])


def compressed(frame):
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 15])[1], 1)


CHANGES = {
    "compressed anew": each(compressed),
    "halved": each(lambda frame: cv2.resize(frame, (40, 32), interpolation=cv2.INTER_AREA)),
    "stretched": each(lambda frame: cv2.resize(frame, (120, 64))),
    "brighter": each(lambda frame: cv2.convertScaleAbs(frame, alpha=1.2, beta=5)),
    "begun later": lambda frames: frames[3:],
    "the first half": lambda frames: frames[:6],
    "slower": lambda frames: frames.repeat(2, axis=0),
}


def put(add, cache, identifier, frames):
    t, height, width, _ = frames.shape
    add(cache, identifier, frames, np.zeros((t - 1, 2, height, width)))


@pytest.fixture(scope="module")
def films(new_cache, add, tmp_path_factory):
    """Six scenes, and of the first one every change."""
    cache = new_cache(tmp_path_factory.mktemp("films"))
    for seed in range(6):
        put(add, cache, f"run/scene {seed}", filmed(seed))
    for name, change in CHANGES.items():
        put(add, cache, f"walk/{name}", change(filmed(0)))
    return cache


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_under_another_name(films, name):
    scenes = [f"run/scene {seed}" for seed in range(6)]
    (pair,) = near_duplicates(films, scenes, [f"walk/{name}"])
    assert (pair.one, pair.other) == ("run/scene 0", f"walk/{name}")
    assert 0 <= pair.distance <= NEAR


def test_other_scenes_are_no_duplicates(films):
    scenes = [f"run/scene {seed}" for seed in range(6)]
    assert near_duplicates(films, scenes, scenes) == []


def test_pairs_of_one_list_are_named_once_the_nearest_first(films):
    ids = films.ids()
    read = []
    pairs = near_duplicates(films, ids, ids, read.append)
    alike = {"run/scene 0", *(f"walk/{name}" for name in CHANGES)}
    assert all({pair.one, pair.other} <= alike for pair in pairs)
    assert len({frozenset((pair.one, pair.other)) for pair in pairs}) == len(pairs)
    assert len(pairs) >= len(CHANGES)
    assert [pair.distance for pair in pairs] == sorted(pair.distance for pair in pairs)
    assert read == list(range(1, len(ids) + 1))


def test_pairs_do_not_depend_on_which_list_is_first_or_how_long_it_is(films):
    ids = films.ids()
    few, many = ids[3:5], ids * 3
    forward = {frozenset((p.one, p.other)): p.distance for p in near_duplicates(films, few, many)}
    back = {frozenset((p.one, p.other)): p.distance for p in near_duplicates(films, many, few)}
    assert forward == back


def test_nothing_is_near_where_one_list_is_empty(films):
    assert near_duplicates(films, [], films.ids()) == near_duplicates(films, films.ids(), []) == []


def test_a_video_of_fewer_frames_than_hashes_has_as_many_of_them(tmp_path, new_cache, add):
    cache = new_cache(tmp_path)
    put(add, cache, "run/short", filmed(1)[:2])
    put(add, cache, "run/long", filmed(1)[:2].repeat(5, axis=0))
    assert hashes_of(cache, cache.ids()).shape == (2, FRAMES)
    assert len(near_duplicates(cache, ["run/short"], ["run/long"])) == 1


def test_a_video_that_is_not_there_is_named(films):
    with pytest.raises(NoSuchEntryError, match="run/gone"):
        near_duplicates(films, ["run/gone"], films.ids())


HASHES = st.lists(
    st.lists(st.integers(0, 2**64 - 1), min_size=FRAMES, max_size=FRAMES), min_size=1, max_size=4
)


@given(HASHES, HASHES)
def test_distances_are_those_of_a_slow_count_of_bits(one, other):
    got = distances(np.array(one, np.uint64), np.array(other, np.uint64))

    def to_nearest(a, b):
        return sum(min((x ^ y).bit_count() for y in b) for x in a) / len(a)

    expected = [[max(to_nearest(a, b), to_nearest(b, a)) for b in other] for a in one]
    np.testing.assert_allclose(got, expected)
    np.testing.assert_array_equal(
        distances(np.array(one, np.uint64), np.array(one, np.uint64)).diagonal(), 0
    )
