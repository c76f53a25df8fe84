"""Caches of the version before, which are in a zip beside this file, stay readable.

Each cache holds one entry `a/v` of the same four fields and five frames; `wide` has 16-bit codes.
`expected.npz` holds the fields and frames that were written, and the codes that the version before
read back.
"""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import made_entries as entries
import numpy as np
import pytest

from flowcache.cache.entry import Entry
from flowcache.cache.recipe import FORMAT_VERSION, Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError

NAMES = {
    "tvl1": ("tvl1", "cpu"),
    "tvl1_triton": ("tvl1", "triton"),
    "tvl1_torch": ("tvl1", "torch"),
    "farneback_torch": ("farneback", "torch"),
    "wide": ("dis", "cpu"),
}
"""Each cache's algorithm and backend, as they are called now."""

every_cache = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("format_1")
    with zipfile.ZipFile(Path(__file__).with_name("format_1.zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def expected(caches):
    with np.load(caches / "expected.npz") as arrays:
        return dict(arrays)


@every_cache
def test_an_old_cache_opens_and_says_algorithm_and_backend_as_they_are_called_now(caches, name):
    cache = FlowCache.open(caches / name)
    assert (cache.recipe.algorithm, cache.recipe.backend) == NAMES[name]
    assert cache.recipe.format_version == FORMAT_VERSION
    assert cache["a/v"].info.recipe == cache.recipe
    assert json.loads((caches / name / "cache.json").read_text())["format_version"] == 1


@every_cache
def test_the_fields_of_an_old_entry_are_the_expected_ones_exactly(caches, expected, name):
    with FlowCache.open(caches / name)["a/v"] as entry:
        codes = expected["wide" if name == "wide" else "codes"]
        assert entry.codes[:].dtype == codes.dtype == entry.info.recipe.quantizer.dtype
        np.testing.assert_array_equal(entry.codes[:], codes)
        step, bound = entry.info.recipe.quantizer_step, entry.info.recipe.bound
        inside = np.abs(expected["flow"]) <= bound
        assert inside.mean() > 0.99
        error = np.abs(entry.flow[:].data - expected["flow"])[inside]
        assert error.max() <= step / 2 * 1.001
        means = (codes * step).mean((2, 3))
        np.testing.assert_allclose(entry.flow_means, means, atol=1e-5)


@every_cache
def test_the_frames_and_times_of_an_old_entry_are_those_that_were_written(caches, expected, name):
    with FlowCache.open(caches / name)["a/v"] as entry:
        for channel in range(3):
            error = entry.rgb[:][..., channel].astype(int) - expected["rgb"][..., channel]
            assert np.abs(error).mean() < 3
        np.testing.assert_allclose(entry.times, np.arange(5) / 25)
        assert (entry.info.frames, entry.info.fields) == (5, 4)
        assert entry.info.source == entries.SOURCE


@every_cache
def test_verify_finds_nothing_in_an_old_cache(caches, name):
    assert list(FlowCache.open(caches / name).verify(jobs=1)) == [("a/v", "")]


def test_a_changed_byte_of_an_old_entry_is_found_all_the_same(caches, tmp_path):
    raw = bytearray((caches / "tvl1/a/v.h5").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "v.h5").write_bytes(raw)
    with pytest.raises(UserError, match="do not match its SHA-256"):
        Entry(tmp_path / "v.h5").verify()


@pytest.mark.parametrize(("name", "options"), [("tvl1", {"profile": "accurate"}), ("wide", {})])
def test_an_old_cache_has_the_recipe_of_now_and_so_can_be_continued(caches, name, options):
    old = FlowCache.open(caches / name).recipe
    rest = {"bound": old.bound, "quantizer_step": old.quantizer_step}
    now = Recipe.of(old.algorithm, options, **rest)
    # Another OpenCV may compute otherwise, and its version is the only thing that may differ here.
    assert old == replace(now, algorithm_version=old.algorithm_version)
    assert not old.differences(replace(now, algorithm_version=old.algorithm_version))
    if now.algorithm_version == old.algorithm_version:
        assert FlowCache.create(caches / name, now).recipe == old


@pytest.mark.parametrize("name", ["tvl1_torch", "farneback_torch"])
def test_an_old_cache_of_a_device_differs_from_the_recipe_of_now_in_the_version_alone(caches, name):
    old = FlowCache.open(caches / name).recipe
    # The default profile was another then.
    options = {"profile": "accurate"} if old.algorithm == "tvl1" else {}
    now = Recipe.of(old.algorithm, options, backend="torch")
    assert old == replace(now, algorithm_version=old.algorithm_version)


def test_options_that_a_user_set_are_kept(caches):
    text = (caches / "tvl1_triton" / "cache.json").read_text()
    values = json.loads(text)
    values["options"] |= {"lambda": 0.05, "warps": 7}
    recipe = Recipe.from_json(json.dumps(values))
    assert (recipe.options["lambda"], recipe.options["warps"]) == (0.05, 7)
    assert recipe.options["exact"] is False  # what a batched algorithm did not have to say
    assert Recipe.from_json(recipe.to_json()) == recipe


# Formats that are yet to come


@pytest.fixture
def of_the_future(caches, tmp_path):
    """A cache of a later format: a later number, and a key that nobody knows yet."""

    def make(number, **more):
        root = tmp_path / "cache"
        (root / "a").mkdir(parents=True)
        values = json.loads((caches / "tvl1" / "cache.json").read_text())
        values |= {"format_version": number, **more}
        (root / "cache.json").write_text(json.dumps(values))
        path = root / "a" / "v.h5"
        path.write_bytes((caches / "tvl1/a/v.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            info = json.loads(file.attrs["info"])
            file.attrs["info"] = json.dumps(info | {"recipe": values})
        entries.reseal(path)
        return root

    return make


@pytest.mark.parametrize("more", [{}, {"backend": "cpu"}, {"colour_space": "yuv"}])
def test_an_unknown_future_format_is_refused_in_one_sentence(of_the_future, more):
    root = of_the_future(FORMAT_VERSION + 7, **more)
    for refused in (
        lambda: FlowCache.open(root),
        lambda: Entry(root / "a" / "v.h5").info,
        lambda: Entry(root / "a" / "v.h5").verify(),
    ):
        with pytest.raises(UserError, match=rf"format {FORMAT_VERSION + 7} ") as caught:
            refused()
        assert "\n" not in str(caught.value)
        assert f"format {FORMAT_VERSION}" in str(caught.value)
