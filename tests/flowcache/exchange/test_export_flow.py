"""Caches → folders of other programs' files."""

import made_entries as entries
import numpy as np
import pytest
from flow_readers import read

from flowcache.cache.entry import DamagedEntryError
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.exchange.contract import names
from flowcache.exchange.export import export_flow


@pytest.fixture
def cache(tmp_path, recipe):
    """Two entries of 16×24 pixels, one of whose names has a dot."""
    cache = FlowCache.create(tmp_path / "cache", recipe())
    for seed, name in enumerate(("run/a", "jump/high/b.1")):
        rgb = np.zeros((4, 16, 24, 3), np.uint8)
        flow = entries.smooth_flow(3, 16, 24, seed=seed)
        entries.write(cache.path(name), cache.recipe, flow, rgb)
    return cache


@pytest.mark.parametrize("name", sorted(set(names()) - {"jpeg"}))
def test_every_entry_is_written_under_its_id(name, cache, tmp_path):
    said = []
    done = export_flow(
        cache.root,
        tmp_path / "out",
        format_name=name,
        jobs=1,
        on_progress=lambda *numbers: said.append(numbers),
    )
    assert (done, said) == (6, [(1, 2), (2, 2)])
    precision = {"png": 20 / 255, "kitti": 1 / 128}.get(name, 0)
    for identifier in cache:
        stored = cache[identifier].flow[:].data
        exported = read(tmp_path / "out" / identifier, name, 20.0)
        assert np.abs(exported - stored).max() <= precision + 2e-6


def test_the_bound_of_pictures_may_be_another(cache, tmp_path):
    export_flow(cache.root, tmp_path / "out", format_name="png", bound=5.0, jobs=1)
    exported = read(tmp_path / "out" / "run" / "a", "png", 5.0)
    stored = cache["run/a"].flow[:].data
    assert np.abs(stored).max() > 5
    np.testing.assert_allclose(exported, stored.clip(-5, 5), atol=5 / 255 + 1e-6)


def test_the_quality_of_jpeg_pictures_is_as_told(cache, tmp_path):
    sizes = []
    for quality in (40, 95):
        folder = tmp_path / str(quality)
        export_flow(cache.root, folder, format_name="jpeg", jpeg_quality=quality, jobs=1)
        sizes.append(sum(path.stat().st_size for path in folder.rglob("*.jpg")))
    assert sizes[0] < 0.9 * sizes[1]


def test_a_folder_that_holds_something_stays_as_it_is(cache, tmp_path):
    (tmp_path / "out").mkdir()
    export_flow(cache.root, tmp_path / "out", format_name="npy", jobs=1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="is there already: name another folder") as caught:
        export_flow(cache.root, tmp_path / "out", format_name="flo", jobs=1)
    assert caught.value.parameter == "output"
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_written_into_the_cache_itself_or_through_a_link(cache, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "other").symlink_to("cache")
    before = sorted(tmp_path.rglob("*"))
    for output, reason in (
        (cache.root / "out", "lies in the cache itself"),
        (tmp_path / "other" / "out", "lies in the cache itself"),
        (tmp_path / "link", "is there already"),
    ):
        with pytest.raises(UserError, match=reason) as caught:
            export_flow(cache.root, output, format_name="h5", jobs=1)
        assert caught.value.parameter == "output"
    assert sorted(tmp_path.rglob("*")) == before


def test_the_current_folder_is_filled_where_it_is_empty(cache, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert export_flow(cache.root, ".", format_name="npy", jobs=1) == 6
    assert (tmp_path / "out" / "run" / "a.npy").is_file()


def test_nothing_is_left_where_an_entry_is_damaged_or_cannot_be_held(cache, tmp_path, recipe):
    path = cache.path("run/a")
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DamagedEntryError):
        export_flow(cache.root, tmp_path / "out", format_name="flo", jobs=1)
    far = FlowCache.create(tmp_path / "far", recipe(bound=600.0))
    flow = np.full((1, 2, 16, 24), 550, np.float32)
    entries.write(far.path("a"), far.recipe, flow, np.zeros((2, 16, 24, 3), np.uint8))
    with pytest.raises(UserError, match="a: field 1 has displacements beyond ± 512 px"):
        export_flow(far.root, tmp_path / "out", format_name="kitti", jobs=1)
    assert {p.name for p in tmp_path.iterdir()} == {"cache", "far"}


def test_what_cannot_be_exported_at_all_is_said(cache, tmp_path, recipe):
    empty = FlowCache.create(tmp_path / "none", recipe())
    for root, name, reason in (
        (tmp_path / "absent", "flo", "is no flow cache"),
        (empty.root, "flo", "holds no entry, so there is nothing to write"),
        (cache.root, "avi", "there is no format 'avi'"),
    ):
        with pytest.raises(UserError, match=reason):
            export_flow(root, tmp_path / "out", format_name=name, jobs=1)
    assert not (tmp_path / "out").exists()
