"""Folders of flow → caches, with the frames of the videos or without."""

import csv
import shutil

import cv2
import flow_readers
import made_videos as made
import numpy as np
import pytest

from flowcache.cache.entry import NoFramesError
from flowcache.cache.recipe import Recipe
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.exchange.export import export_flow
from flowcache.exchange.import_many import import_flow
from flowcache.extraction.api import extract
from flowcache.types import FlowStack
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from flowcache.workers.devices import for_this_machine

pytestmark = pytest.mark.usefixtures("lasting_children")

BOUND = 20.0


@pytest.fixture
def videos(tmp_path):
    """Two small videos of a class, of 6 and 7 frames, 56×40 pixels."""
    for name, count in (("a", 6), ("b", 7)):
        frames = made.moving_scene(count, 40, 56, 1.5, -0.5)
        made.write_video(tmp_path / "videos" / "run" / f"{name}.avi", frames)
    return tmp_path / "videos"


@pytest.fixture
def extracted(videos, tmp_path):
    """A cache of them, whose flow others then have."""
    assert not extract(videos, tmp_path / "extracted", algorithm="farneback", jobs=1).failures
    return FlowCache.open(tmp_path / "extracted")


@pytest.fixture
def pictures(tmp_path, flow):
    """Flow of one video, five fields of 18×26 pixels, as PNG pairs."""
    names = ("flow_x_{:05}.png", "flow_y_{:05}.png")
    flow_readers.write_pictures(tmp_path / "flow" / "run" / "a", flow, BOUND, names)
    return tmp_path / "flow"


def sound(root):
    return [problem for _, problem in FlowCache.open(root).verify(jobs=1) if problem] == []


@pytest.mark.parametrize("name", ["flo", "npy", "npz", "h5", "kitti"])
def test_flow_that_was_written_comes_back_with_the_frames_of_the_videos(
    name, extracted, videos, tmp_path
):
    export_flow(extracted.root, tmp_path / "flow", format_name=name, jobs=1)
    summary = import_flow(tmp_path / "flow", tmp_path / "cache", videos=videos, jobs=1)
    assert not summary.failures
    again = FlowCache.open(tmp_path / "cache")
    assert again.ids() == extracted.ids() == ["run/a", "run/b"]
    assert sound(again.root)
    step = again.recipe.quantizer_step
    for identifier in again:
        before, after = extracted[identifier], again[identifier]
        # KITTI's own rounding is finer than the cache's step, so the codes are the same.
        np.testing.assert_array_equal(after.codes[:], before.codes[:])
        np.testing.assert_array_equal(after.rgb[:], before.rgb[:])
        np.testing.assert_array_equal(after.times, before.times)
        assert after.info.source == before.info.source.__class__(
            **{**vars(before.info.source), "name": identifier}
        )
        assert (after.info.complete, after.info.frame_rate) == ("yes", before.info.frame_rate)
    assert step == extracted.recipe.quantizer_step


@pytest.mark.parametrize("bound", [20.0, 7.5])
def test_pictures_are_kept_exactly_and_written_again_as_they_were(bound, pictures, take, tmp_path):
    assert not take(bound=bound).failures
    cache = FlowCache.open(tmp_path / "cache")
    assert cache.recipe.quantizer_step == bound / 255
    before = flow_readers.read(pictures / "run" / "a", "png", bound)
    np.testing.assert_allclose(cache["run/a"].flow[:].data, before, atol=1e-5)
    export_flow(cache.root, tmp_path / "again", format_name="png", jobs=1)
    for path in sorted(pictures.rglob("*.png")):
        again = tmp_path / "again" / path.relative_to(pictures)
        np.testing.assert_array_equal(cv2.imread(str(again), 0), cv2.imread(str(path), 0))


def test_the_recipe_says_what_the_flow_is(pictures, take, tmp_path):
    take(origin="TV-L1 of denseflow", frame_step=1)
    recipe = FlowCache.open(tmp_path / "cache").recipe
    assert (recipe.algorithm, recipe.algorithm_version) == ("imported", "TV-L1 of denseflow")
    assert recipe.options == {"format": "png", "frames": False, "unknown": "refused"}
    assert str(recipe).startswith("imported (TV-L1 of denseflow), step 1, size original, ±20 px")
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_imported_flow_is_not_computed_for_other_videos(pictures, take, tmp_path):
    take()
    recipe = FlowCache.open(tmp_path / "cache").recipe
    for refuse in (for_this_machine, Recipe.create_algorithm):
        with pytest.raises(
            UserError, match=r"imported \(unknown origin\), so it cannot be computed"
        ):
            refuse(recipe)
    with pytest.raises(UserError, match="was made with algorithm imported, not farneback"):
        FlowCache.create(tmp_path / "cache", Recipe.of("farneback"))
    with pytest.raises(UserError, match="was made with algorithm version unknown origin, not mine"):
        take(origin="mine")


def test_an_entry_without_frames_says_so_and_has_all_else(pictures, take, tmp_path):
    take()
    with FlowCache.open(tmp_path / "cache")["run/a"] as entry:
        with pytest.raises(NoFramesError, match="holds no frames, since its flow was imported"):
            _ = entry.rgb
        info = entry.info
        assert (info.frames, info.fields, info.width, info.height) == (6, 5, 26, 18)
        assert (info.complete, info.times_from) == ("unknown", "frame rate")
        np.testing.assert_allclose(entry.times, np.arange(6) / 25)
        assert info.source.sha256 == info.flow_sha256
    assert sound(tmp_path / "cache")


def test_frames_are_those_of_the_video_at_the_size_of_the_flow(pictures, videos, take, tmp_path):
    assert not take(frames=True, videos=videos).failures
    with FlowCache.open(tmp_path / "cache")["run/a"] as entry:
        with Video(videos / "run" / "a.avi") as video:
            (frames,) = video.frames(Resize(exact=(26, 18)))
        assert np.abs(entry.rgb[:].astype(int) - frames.rgb).mean() < 5  # JPEG
        assert (entry.info.original_width, entry.info.original_height) == (56, 40)


def test_flow_in_no_class_folder_takes_the_path_of_the_only_video_of_its_name(
    pictures, videos, take, tmp_path
):
    (pictures / "run" / "a").rename(pictures / "a")
    (pictures / "run").rmdir()
    assert not take(frames=True, videos=videos).failures
    assert FlowCache.open(tmp_path / "cache").ids() == ["run/a"]


def test_what_does_not_fit_is_named_and_the_rest_goes_on(
    pictures, videos, flow, take, reasons, tmp_path
):
    names = ("flow_x_{:05}.png", "flow_y_{:05}.png")
    for name, fields in (("b", flow[:4]), ("c", flow), ("d", flow)):
        flow_readers.write_pictures(pictures / "run" / name, fields, BOUND, names)
    for folder in ("one", "two"):
        (videos / folder).mkdir()
        shutil.copy(videos / "run" / "a.avi", videos / folder / "d.avi")
    (videos / "run" / "e.avi").write_bytes(b"no video")
    flow_readers.write_pictures(pictures / "run" / "e", flow, BOUND, names)
    notes = []
    summary = take(frames=True, videos=videos, on_note=notes.append)
    assert FlowCache.open(tmp_path / "cache").ids() == ["run/a"]
    found = reasons(summary)
    assert found["run/b"] == "4 fields and 7 frames: flow of step 1 has 6 fields for them"
    assert found["run/c"] == f"no video in {videos} has its name"
    assert found["run/d"] == "2 videos have its name: one/d.avi and two/d.avi"
    assert "not a readable video" in found["run/e"]
    with (tmp_path / "cache" / "failures.csv").open(newline="", encoding="utf-8") as file:
        assert {row["video"]: row["reason"] for row in csv.DictReader(file)} == found
    assert any(note.startswith("2 videos have no flow") for note in notes)


def test_fields_of_two_sizes_are_refused(tmp_path, flow, take, reasons):
    folder = tmp_path / "flow" / "run" / "a"
    folder.mkdir(parents=True)
    for number, field in enumerate([flow[0], flow[1, :, :9]]):
        cv2.writeOpticalFlow(
            str(folder / f"{number}.flo"), np.ascontiguousarray(field.transpose(1, 2, 0))
        )
    message = "field 1 has 26x9 pixels, and the fields before it 26x18"
    assert reasons(take()) == {"run/a": message}


def test_unknown_displacements_are_refused_unless_they_may_be_zero(tmp_path, flow, take, reasons):
    flow[2, :, 3, 4] = np.nan
    (tmp_path / "flow" / "run").mkdir(parents=True)
    np.save(tmp_path / "flow" / "run" / "a.npy", flow)
    assert "field 2 does not know the displacement of 1 pixels" in reasons(take())["run/a"]
    # Nothing was imported, so the cache is free for what the sentence says.
    assert not take(unknown="zero").failures
    cache = FlowCache.open(tmp_path / "cache")
    assert cache.recipe.options["unknown"] == "zero"
    flow[2, :, 3, 4] = 0
    codes, _ = cache.recipe.quantizer.encode(FlowStack(flow))
    np.testing.assert_array_equal(cache["run/a"].codes[:], codes)


def test_what_is_done_is_kept_and_what_changed_is_made_again(pictures, videos, take):
    given = {"frames": True, "videos": videos}
    assert take(**given).count("done") == 1
    assert take(**given).count("kept") == 1
    first = pictures / "run" / "a" / "flow_x_00001.png"
    picture = cv2.imread(str(first), 0)
    picture[0, 0] ^= 1
    cv2.imwrite(str(first), picture)
    assert take(**given).count("done") == 1
    made.write_video(videos / "run" / "a.avi", made.moving_scene(6, 40, 56, -1.5, 0.5))
    assert take(**given).count("done") == 1
    assert take(**given).count("kept") == 1


def test_several_steps_fit_as_many_more_frames(pictures, videos, flow, take, reasons):
    summary = take(frames=True, videos=videos, frame_step=2)
    message = "5 fields and 6 frames: flow of step 2 has 4 fields for them"
    assert reasons(summary) == {"run/a": message}
    (videos / "run" / "a.avi").unlink()
    (videos / "run" / "b.avi").rename(videos / "run" / "a.avi")
    assert not take(frames=True, videos=videos, frame_step=2).failures


@pytest.mark.parametrize(
    ("given", "parameter", "reason"),
    [
        ({"bound": None}, "bound", "holds pictures, whose white may be any displacement"),
        ({"bound": -1.0}, "bound", "a bound of -1.0 px is none"),
        ({"frames": True}, "videos", "name the folder of the videos"),
        ({"folder": "absent"}, "folder", "is no folder"),
        ({"folder": "empty"}, "folder", "holds no flow in a known form"),
        ({"format_name": "flo"}, "folder", "holds no flow that is flo"),
        ({"format_name": "avi"}, "format_name", "there is no format 'avi'"),
        ({"unknown": "any"}, "unknown", "'any' is none of refused, zero"),
        ({"frames": True, "videos": "absent"}, "videos", "is no folder"),
    ],
)
def test_what_cannot_be_imported_at_all_leaves_no_cache(
    given, parameter, reason, pictures, take, tmp_path
):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=reason) as caught:
        take(**given)
    assert caught.value.parameter == parameter
    assert not (tmp_path / "cache").exists()


def test_flow_in_two_forms_is_asked_for_and_frames_beside_it_are_ignored(pictures, take, flow):
    np.save(pictures / "run" / "b.npy", flow)
    (pictures / "run" / "a" / "img_00001.jpg").write_bytes(b"a frame")
    with pytest.raises(UserError, match=r"npy \(1 videos\), png \(1 videos\); say which"):
        take()
    summary = take(format_name="png")
    assert sorted(path.name for path in summary.ignored) == ["b.npy", "img_00001.jpg"]
    assert not summary.failures


def test_flow_in_the_folder_itself_is_named_as_that_is_however_it_is_written(
    pictures, take, tmp_path, monkeypatch
):
    (pictures / "run" / "a" / "within").mkdir()
    monkeypatch.chdir(pictures / "run" / "a" / "within")
    assert not take(folder="..").failures
    assert FlowCache.open(tmp_path / "cache").ids() == ["a"]


def test_what_cannot_be_looked_into_is_named(pictures, take, reasons, tmp_path):
    (pictures / "run" / "b").symlink_to("nowhere")
    assert "it is a link that leads nowhere" in reasons(take())["run/b"]
    shutil.rmtree(pictures / "run" / "a")
    with pytest.raises(UserError, match=r"holds no flow in a known form.*b is a link that leads"):
        take()


def test_displacements_beyond_the_bound_are_counted_and_those_within_are_not(pictures, take, flow):
    np.save(pictures / "b.npy", flow)
    for share, bound in ((np.mean(np.abs(flow) > 6), 6.0), (0, 40.0)):
        for _ in ("done", "kept"):
            summary = take(format_name="npy", bound=bound, quantizer_step=0.01, cache=str(bound))
            assert [o.saturated for o in summary.saturated] == (
                [pytest.approx(share, abs=0.01)] if share else []
            )


def test_a_cache_is_not_imported(take, extracted):
    with pytest.raises(UserError, match="is a flow cache itself"):
        take("extracted")
