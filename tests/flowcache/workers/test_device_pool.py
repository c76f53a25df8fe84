"""Extraction by the process of a device, which is the CPU here: the same but for who computes."""

import contextlib
import threading
from pathlib import Path

import made_videos as made
import numpy as np
import psutil
import pytest
import stub_decoders as stubs
from click.testing import CliRunner

from flowcache.cache.entry import Entry
from flowcache.cache.store import FlowCache
from flowcache.errors import UserError
from flowcache.extraction.many import extract_folder
from flowcache.video.decode import Video
from flowcache.workers.device_client import DeviceLostError, flow_on_device
from flowcache.workers.device_pool import DevicePool, UnusableDeviceError
from flowcache.workers.device_server import Request, next_batch
from twostream.commands.main import main

QUICK = {"warps": 1, "inner_iterations": 3, "nscales": 2}


@pytest.fixture
def quick(recipe):
    return lambda **changes: recipe("tvl1", QUICK, backend="torch", **changes)


@pytest.fixture
def folder(tmp_path):
    """Videos of two sizes, one of them of two frames."""
    root = tmp_path / "videos"
    for i, (name, frames, size) in enumerate(
        [("run/a.avi", 14, (40, 56)), ("run/b.avi", 2, (40, 56)), ("jump/c.avi", 9, (48, 32))]
    ):
        made.write_video(root / name, made.moving_scene(frames, *size, 1.0 + i, -0.5, seed=i))
    return root


def contents(cache):
    return {
        i: (cache.entry(i).codes[range(info.fields)], cache.entry(i).info.saturated)
        for i, info in cache.infos()
    }


def assert_same(cache, other):
    mine, theirs = contents(cache), contents(other)
    assert mine.keys() == theirs.keys()
    for identifier, (codes, saturated) in mine.items():
        np.testing.assert_array_equal(codes, theirs[identifier][0])
        assert saturated == theirs[identifier][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "changes"),
    [
        (["cpu"], {}),
        (["cpu", "cpu"], {"frame_step": 3}),
        (["cpu"], {"bound": 0.5, "quantizer_step": 1 / 1024}),
        (["cpu"], {"backward": True, "frame_step": 2}),
    ],
    ids=str,
)
def test_a_devices_process_writes_what_each_videos_own_would(
    folder, tmp_path, quick, changes, devices
):
    recipe = quick(**changes)
    here = FlowCache.create(tmp_path / "here", recipe)
    there = FlowCache.create(tmp_path / "there", recipe)
    failed = {"run/b.avi"} if recipe.frame_step > 1 else set()
    for cache, given, decode in ((here, (), Video), (there, devices, stubs.SmallBatches)):
        summary = extract_folder(folder, cache, jobs=2, devices=given, decode=decode)
        assert {o.job.name for o in summary.failures} == failed
    assert_same(there, here)
    assert all(not problem for _, problem in there.verify(1))


@pytest.mark.slow
def test_what_is_done_is_kept_and_then_no_device_is_needed(folder, tmp_path, quick):
    cache = FlowCache.create(tmp_path / "cache", quick())
    extract_folder(folder, cache, jobs=2, devices=["cpu"])
    summary = extract_folder(folder, cache, jobs=2, devices=["no such device"])
    assert summary.count("kept") == 3


def test_a_device_that_cannot_be_used_ends_the_extraction_with_one_sentence(
    folder, tmp_path, quick
):
    cache = FlowCache.create(tmp_path / "cache", quick())
    with pytest.raises(UnusableDeviceError, match=r"^cuda:99 cannot be used: .+") as caught:
        extract_folder(folder, cache, jobs=2, devices=["cuda:99"])
    assert "\n" not in str(caught.value)
    assert cache.ids() == []


@pytest.mark.slow  # test_many.py has these without a device
@pytest.mark.parametrize("how", ["segfault", "abort", "exit", "odd_error"])
def test_a_video_whose_process_dies_costs_only_itself(folder, tmp_path, quick, how):
    made.write_video(folder / f"run/{how}.avi", made.moving_scene(26, 40, 56, 1, 0, seed=3))
    cache = FlowCache.create(tmp_path / "cache", quick())
    summary = extract_folder(folder, cache, jobs=2, devices=["cpu"], decode=stubs.BadVideo)
    assert [o.job.name for o in summary.failures] == [f"run/{how}.avi"]
    assert len(cache.ids()) == 3


@pytest.mark.slow
def test_a_broken_video_is_named_and_its_beginning_can_be_kept(folder, tmp_path, quick):
    whole = (folder / "run/a.avi").read_bytes()
    (folder / "run/broken.avi").write_bytes(whole[: len(whole) * 3 // 4])
    cache = FlowCache.create(tmp_path / "cache", quick())
    summary = extract_folder(folder, cache, jobs=2, devices=["cpu"])
    assert [(o.job.name, o.kind) for o in summary.failures] == [("run/broken.avi", "broken")]
    summary = extract_folder(folder, cache, jobs=2, devices=["cpu"], keep_partial=True)
    assert not summary.failures
    assert [o.job.name for o in summary.partial] == ["run/broken.avi"]
    whole, part = (Entry(cache.path(f"run/{name}")) for name in ("a", "broken"))
    fields = part.info.fields
    assert 0 < fields < whole.info.fields
    np.testing.assert_array_equal(part.codes[range(fields)], whole.codes[range(fields)])


def test_a_device_whose_process_dies_is_started_again_and_nothing_is_lost(folder, tmp_path, quick):
    (folder / "run/a.avi").rename(folder / "run/once.avi")
    here, there = (FlowCache.create(tmp_path / name, quick()) for name in ("here", "there"))
    extract_folder(folder, here, jobs=1)
    notes = []
    summary = extract_folder(
        folder, there, jobs=2, devices=["cpu"], decode=stubs.DeadlyVideo, on_note=notes.append
    )
    assert not summary.failures
    assert notes == ["cpu is started again: the process died of SIGKILL"]
    assert_same(there, here)


@pytest.mark.slow
def test_a_video_that_ends_the_devices_process_again_and_again_is_given_up(folder, tmp_path, quick):
    (folder / "run/a.avi").rename(folder / "run/always.avi")
    cache = FlowCache.create(tmp_path / "cache", quick())
    summary = extract_folder(folder, cache, jobs=1, devices=["cpu"], decode=stubs.DeadlyVideo)
    (failure,) = summary.failures
    assert (failure.job.name, failure.kind) == ("run/always.avi", "crashed")
    assert failure.reason == "the process of cpu ended: the process died of SIGKILL"


@pytest.mark.slow
def test_that_video_costs_none_of_those_beside_it(folder, tmp_path, quick):
    (folder / "run/a.avi").rename(folder / "run/always.avi")
    for i in range(3):
        made.write_video(folder / f"run/{i}.avi", made.moving_scene(30, 40, 56, 1, 0.5, seed=i))
    cache = FlowCache.create(tmp_path / "cache", quick())
    summary = extract_folder(folder, cache, jobs=4, devices=["cpu"], decode=stubs.DeadlyVideo)
    assert [o.job.name for o in summary.failures] == ["run/always.avi"]
    assert len(cache.ids()) == 5


@pytest.mark.slow
def test_a_device_that_cannot_be_used_is_left_out_where_there_are_others(folder, tmp_path, quick):
    notes, cache = [], FlowCache.create(tmp_path / "cache", quick())
    summary = extract_folder(folder, cache, devices=["cuda:99", "cpu"], on_note=notes.append)
    assert not summary.failures
    (note,) = notes
    assert note.startswith("cuda:99 cannot be used: ")
    assert note.endswith("; going on without it")


def test_a_batch_that_takes_too_long_ends_the_devices_process():
    recipe, frames = stubs.RecipeOfSlowDevice(), np.zeros((2, 8, 8), np.uint8)
    with DevicePool(recipe, ["slow"], 3.0, print) as devices:

        def ask():
            with devices.lend() as address:
                list(flow_on_device([frames], address, 1, recipe.quantizer))

        with pytest.raises(DeviceLostError, match="of slow ended: no progress for 3 s"):
            ask()


def test_a_driver_that_hangs_at_its_start_holds_nothing_for_ever():
    with (
        DevicePool(stubs.RecipeOfSlowDevice(), ["hangs"], 2.0, print) as devices,
        pytest.raises(UnusableDeviceError, match="hangs cannot be used: no progress for 2 s"),
        devices.lend(),
    ):
        pytest.fail("it answered")


def test_a_device_that_is_starting_holds_no_other_up():
    starting = threading.Event()

    def ask():
        with contextlib.suppress(UnusableDeviceError), devices.lend():
            pass

    def note(text):
        starting.set()

    with DevicePool(stubs.RecipeOfSlowDevice(), ["hangs", "slow"], 600.0, note) as devices:
        waiting = threading.Thread(target=ask)
        waiting.start()
        assert starting.wait(60)
        with devices.lend() as address:
            assert address
    waiting.join(60)
    assert not waiting.is_alive()


def test_servers_that_are_closed_start_nothing(quick):
    with DevicePool(quick(), ["cpu"], 60.0, print) as devices:
        devices.close()
        with pytest.raises(UnusableDeviceError, match="has ended"), devices.lend():
            pytest.fail("it was lent")


@pytest.mark.slow
def test_a_folder_for_which_the_device_was_no_use_may_have_another_recipe(folder, tmp_path):
    def extract(*words):
        arguments = ["extract-flow", str(folder), "--cache", str(tmp_path / "cache"), *words]
        return CliRunner().invoke(main, [*arguments, "--option", "nscales=1"])

    failed = extract("--backend", "torch", "--timeout", "0.000001")
    assert failed.exit_code == 1
    assert failed.output.splitlines()[-1].startswith("Error: cpu cannot be used: no progress")
    assert extract("--device", "cpu").exit_code == 0


@pytest.mark.slow
def test_no_process_and_no_file_is_left_behind(folder, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    cache = FlowCache.create(tmp_path / "cache", quick())
    extract_folder(folder, cache, jobs=2, devices=["cpu"])
    assert list((tmp_path / "temporary").iterdir()) == []
    assert stubs.device_processes(psutil.Process()) == []


@pytest.mark.parametrize(
    "elsewhere", [{"joblib_backend": "loky"}, {"scheduler": "tcp://127.0.0.1:1"}]
)
def test_devices_belong_to_this_machine(folder, tmp_path, quick, elsewhere):
    cache = FlowCache.create(tmp_path / "cache", quick())
    with pytest.raises(UserError, match="processed elsewhere and cpu is here"):
        extract_folder(folder, cache, devices=["cpu"], **elsewhere)


def test_videos_are_shared_out_between_the_devices():
    recipe = stubs.RecipeOfSlowDevice()
    with DevicePool(recipe, ["slow", "slow too"], 60.0, print) as devices:
        with devices.lend() as first, devices.lend() as second:
            assert first != second
            with devices.lend() as third:
                assert third in (first, second)
        with devices.lend() as again:
            assert again in (first, second)


# Batches


def batches_of(shapes, pixels):
    """The batches of requests that all wait, as numbers, in their order."""
    # Frames that cannot be compared as a whole.
    waiting = [Request(shape, np.full(shape, i)) for i, shape in enumerate(shapes)]
    groups = []
    while waiting:
        batch, waiting = next_batch(waiting, lambda h, w: max(1, pixels // (h * w)))
        groups.append([int(request.stack[0, 0, 0]) for request in batch])
    return groups


def test_what_waits_is_grouped_by_size_up_to_the_devices_room_and_in_order():
    small, large = (5, 2, 2), (5, 4, 4)
    assert batches_of([small] * 5, pixels=4 * 10) == [[0, 1], [2, 3], [4]]
    assert batches_of([small, large, small, large], pixels=1000) == [[0, 2], [1, 3]]
    assert batches_of([large, small, small], pixels=1) == [[0], [1], [2]]
    assert batches_of([], pixels=1) == []


def test_the_command_takes_the_device_and_says_so(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [word for key, value in QUICK.items() for word in ("--option", f"{key}={value}")]
    result = CliRunner().invoke(
        main, ["extract-flow", "videos", "--backend", "torch", "--device", "cpu", *options]
    )
    assert result.exit_code == 0, result.output
    assert "flow on cpu" in result.output
    assert "3 videos done" in result.output
    recorded = FlowCache.open(Path("cache")).recipe
    assert (recorded.algorithm, recorded.backend, recorded.options["warps"]) == ("tvl1", "torch", 1)
