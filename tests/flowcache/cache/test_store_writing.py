"""Caches that are begun: by two at once, where others' files lie, and where nothing can be written."""

import os
import threading

import pytest

from flowcache.cache.store import FlowCache
from flowcache.errors import UserError


@pytest.fixture
def cache(tmp_path, recipe):
    return FlowCache.create(tmp_path / "cache", recipe())


# Several extractions


def test_of_two_recipes_that_begin_at_once_one_decides_and_the_other_is_refused(
    tmp_path, recipe, monkeypatch
):
    """Both have seen that there is no cache yet before either writes."""
    looked = threading.Barrier(2)
    real = os.path.lexists
    waits = threading.local()

    def lexists(path):
        found = real(path)
        if not getattr(waits, "over", False):
            waits.over = True
            looked.wait()
        return found

    monkeypatch.setattr(os.path, "lexists", lexists)
    made, refused = [], []

    def begin(bound):
        try:
            made.append(FlowCache.create(tmp_path / "cache", recipe(bound=bound)))
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin, args=(bound,)) for bound in (10.0, 20.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(refused) == 1
    assert FlowCache.open(tmp_path / "cache").recipe == made[0].recipe
    assert "was made with bound" in refused[0]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["cache.json"]


def test_a_cache_that_another_extraction_writes_to_is_not_taken_back(cache, recipe):
    with cache.writing():
        FlowCache.create(cache.root, recipe()).discard_if_empty()
        assert FlowCache.open(cache.root).recipe == cache.recipe


def test_a_cache_that_was_taken_back_before_the_writing_began_is_begun_again(cache, recipe):
    FlowCache(cache.root, recipe()).discard_if_empty()
    with cache.writing():
        assert FlowCache.open(cache.root).recipe == cache.recipe
    FlowCache(cache.root, recipe()).discard_if_empty()
    FlowCache.create(cache.root, recipe("dis"))
    with pytest.raises(UserError, match="algorithm dis, not farneback"), cache.writing():
        pass


# What lies there already


def test_half_written_files_of_ours_are_cleared_through_links_and_those_of_others_stay(
    cache, tmp_path
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (cache.root / "class").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(cache.root)
    ours = [
        elsewhere / ".twostream-0123456789ab.part",
        cache.root / ".v_1.h5.0123456789ab.part",
    ]
    others = [cache.root / ".download.part", elsewhere / ".movie.0123456789ab.part"]
    for path in [*ours, *others]:
        path.touch()
    with cache.writing():
        assert not any(path.exists() for path in ours)
        ours[0].touch()  # of a child that dies
    assert not ours[0].exists()
    assert all(path.exists() for path in others)


def test_it_is_cleared_also_where_the_writing_is_broken_off(cache):
    left = cache.root / ".twostream-0123456789ab.part"
    with pytest.raises(KeyboardInterrupt), cache.writing():  # noqa: PT012
        left.touch()
        raise KeyboardInterrupt
    assert not left.exists()


# Folders and recipes that cannot be used


def every_use(root, recipe):
    """All that opens or begins a cache."""
    return [
        lambda: FlowCache.open(root),
        lambda: FlowCache.begun(root),
        lambda: FlowCache.create(root, recipe),
    ]


def one_sentence(uses, match):
    for use in uses:
        with pytest.raises(UserError, match=match) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert caught.value.parameter == "cache"


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"\xff\xfe", b"[]", b"{}", b"null", b"", b'{"a":' * 50_000, b"9" * 5000],
)
def test_a_recipe_file_that_is_none_is_one_sentence(cache, content):
    (cache.root / "cache.json").write_bytes(content)
    one_sentence(every_use(cache.root, cache.recipe), r"cache\.json cannot be read: ")


def test_a_folder_in_the_place_of_the_recipe_is_one_sentence(tmp_path, recipe):
    (tmp_path / "cache.json").mkdir()
    one_sentence(every_use(tmp_path, recipe()), r"cache\.json cannot be read: Is a directory")


def test_a_link_to_no_recipe_is_not_taken_for_one(tmp_path, recipe):
    (tmp_path / "cache.json").symlink_to(tmp_path / "nothing")
    one_sentence(every_use(tmp_path, recipe()), "is no flow cache")
    assert not (tmp_path / "nothing").exists()


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path, recipe):
    (tmp_path / "cache").touch()
    one_sentence([lambda: FlowCache.create(tmp_path / "cache", recipe())], "cannot be written to")


@pytest.mark.parametrize("number", [13, 30], ids=["permission denied", "read-only file system"])
def test_a_folder_that_cannot_be_written_to_is_one_sentence(
    cache, tmp_path, recipe, monkeypatch, number
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    uses = [
        lambda: FlowCache.create(tmp_path / "new", recipe()),
        lambda: cache.writing().__enter__(),
    ]
    one_sentence(uses, f"cannot be written to: {os.strerror(number)}; change its permissions")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_without_the_right_to_write_is_one_sentence(cache, recipe):
    cache.root.chmod(0o555)
    uses = [
        lambda: FlowCache.create(cache.root / "new", recipe()),
        lambda: cache.writing().__enter__(),
    ]
    one_sentence(uses, "cannot be written to: Permission denied")
    cache.root.chmod(0o755)
