import json
import os
from dataclasses import replace

import made_entries as entries
import pytest

from flowcache.cache.info import EntryInfo, Source


@pytest.fixture
def info(recipe):
    return EntryInfo(
        recipe=recipe("tvl1", {"lambda": 0.2}),
        source=entries.SOURCE,
        original_width=99,
        original_height=77,
        width=61,
        height=45,
        frames=9,
        fields=8,
        frame_rate=25.0,
        times_from="container",
        saturated=61 * 45,
        partial="it broke at frame 9",
        complete="yes",
    )


def test_an_info_survives_json(info):
    again = EntryInfo.from_json(info.to_json())
    assert again == info
    assert again.to_json() == info.to_json()


def test_an_info_from_before_does_not_know_whether_its_video_was_complete(info):
    values = json.loads(info.to_json())
    del values["complete"]
    assert EntryInfo.from_json(json.dumps(values)) == replace(info, complete="unknown")


def test_the_saturated_share_is_of_all_components(info):
    assert info.saturated_share == 1 / 16
    assert replace(info, saturated=0).saturated_share == 0


def test_a_source_knows_the_file_by_its_size_and_its_digest(tmp_path):
    path = tmp_path / "v.avi"
    path.write_bytes(b"abc")
    source = Source.of(path, "a/v.avi")
    assert (source.name, source.size_bytes) == ("a/v.avi", 3)
    assert source.sha256.startswith("ba7816bf8f01cfea")  # FIPS 180-2, the example of one block
    assert source.modified_ns == path.stat().st_mtime_ns


def test_a_source_is_the_same_as_long_as_its_bytes_are(tmp_path):
    path = tmp_path / "v.avi"
    path.write_bytes(b"0123456789")
    source = Source.of(path, "v.avi")
    assert source.is_still(path)
    os.utime(path, ns=(1, 1))
    assert source.is_still(path)  # only touched
    path.write_bytes(b"012345678x")
    os.utime(path, ns=(1, 1))
    assert not source.is_still(path)
    path.write_bytes(b"0123456789x")
    assert not source.is_still(path)


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 10},
        {"fields": 0, "frames": 1},
        {"width": -61},
        {"height": 65_501},
        {"width": 10_000, "height": 10_000},
        {"saturated": -1},
        {"frame_rate": float("inf")},
        {"frame_rate": "25"},
        {"partial": None},
        {"original_width": 9.5},
        {"saturated": True},
        {"recipe": {}},
    ],
)
def test_what_no_entry_can_say_of_itself_is_a_value_error(info, change):
    with pytest.raises(ValueError, match=r"its|frames"):
        replace(info, **change)
