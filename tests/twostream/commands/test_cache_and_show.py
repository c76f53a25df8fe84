import json

import cv2
import h5py
import pytest
from called_commands import run, succeed

pytestmark = pytest.mark.usefixtures("lasting_children")


def entries(folder):
    return sorted((folder / "cache").rglob("*.h5"))


def fields_of(path):
    with h5py.File(path, "r", locking=False) as file:
        return len(file["flow"])


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_cache_is_shown_and_verified_and_damage_is_named(copy):
    assert "still" in succeed("cache info")
    assert "all 8 entries are whole" in succeed("cache verify --jobs 1")
    entry = entries(copy)[3]
    damage(entry)
    result = run("cache verify --jobs 1")
    assert result.exit_code == 1
    assert entry.stem in result.output
    assert "1 of 8" in result.output


def test_what_a_cache_holds_as_json_is_what_lies_there(work):
    read = json.loads(succeed("cache info --json"))
    rows = {row["class"]: row for row in read["classes"]}
    assert set(rows) == {"still", "moving", "all"}
    for name, own in (("still", "still"), ("moving", "moving"), ("all", "")):
        files = [path for path in entries(work) if own in path.parent.name]
        fields = sum(map(fields_of, files))
        assert rows[name]["videos"] == len(files)
        assert rows[name]["fields"] == fields
        size = sum(path.stat().st_size for path in files)
        assert rows[name]["bytes_a_field"] == pytest.approx(size / fields)
    assert read["damaged"] == read["partial"] == []
    assert read["complete_unknown"] == 0  # an AVI announces its end


def test_how_many_videos_may_have_been_longer_is_told(new_cache, add, tmp_path):
    cache = new_cache(tmp_path / "cache")
    for identifier, partial in (("a/one", ""), ("a/two", ""), ("b/three", "it broke")):
        add(cache, identifier, partial=partial)
    result = json.loads(succeed(f"cache info --json --cache {cache.root}"))
    assert result["complete_unknown"] == 2
    assert "unknown for 2" in run(f"cache info --cache {cache.root}").output


def test_damage_as_json_is_by_entry_and_the_status_is_1(copy):
    assert json.loads(succeed("cache verify --jobs 1 --json")) == {"entries": 8, "damaged": {}}
    entry = entries(copy)[5]
    damage(entry)
    result = run("cache verify --jobs 1 --json")
    assert result.exit_code == 1
    read = json.loads(result.stdout)
    assert read["entries"] == 8
    assert list(read["damaged"]) == [f"{entry.parent.name}/{entry.stem}"]
    assert all(read["damaged"].values())


def test_an_entry_that_is_none_is_named_beside_what_the_others_hold(copy):
    entries(copy)[0].write_bytes(b"no entry")
    result = run("cache info --json")
    assert result.exit_code == 1
    read = json.loads(result.stdout)
    assert [row["videos"] for row in read["classes"] if row["class"] == "all"] == [7]
    assert len(read["damaged"]) == 1
    result = run("cache info")
    assert result.exit_code == 1
    assert "damaged" in result.output


@pytest.mark.parametrize("command", ["cache info", "cache verify --jobs 1"])
def test_an_entry_of_another_recipe_is_named(copy, command):
    recipe = copy / "cache" / "cache.json"
    values = json.loads(recipe.read_text())
    recipe.write_text(json.dumps(values | {"jpeg_quality": 51}))
    result = run(command)
    assert result.exit_code == 1
    for path in entries(copy):
        assert path.name in result.output
    assert f"it was made with jpeg quality {values['jpeg_quality']}, not 51" in " ".join(
        result.output.split()
    )


def test_another_folder_is_named_by_an_option(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "still" in succeed(f"cache info --cache {work / 'cache'}")
    assert "whole" in succeed(f"cache verify --jobs 1 --cache {work / 'cache'}")


def test_a_video_and_an_entry_are_shown_as_pictures(copy):
    entry = entries(copy)[0]
    video = sorted((copy / "videos").rglob("*.avi"))[0]
    for source, name in ((entry, "a.png"), (video, "b.png")):
        assert f"wrote {name}" in succeed(["show", str(source), "-o", name])
        assert cv2.imread(name) is not None
