"""Damaged videos: each is refused, or gives the frames of the whole video; few are wrong in silence.

The clean videos are made here. What a damaged one gives is compared with the frames that PyAV alone
decodes from the clean one.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import fault_attempts_videos as attempts
import fault_campaign
import made_videos as made
import numpy as np
import pytest
from made_mutants import mutant

COUNT = 40
H264 = {"bf": "2", "crf": "18", "threads": "1"}
HEVC = {"x265-params": "log-level=none:pools=1:bframes=2"}
MPEG2 = {"qscale": "3", "flags": "+qscale"}
ALIKE = {"fflags": "+bitexact"}  # no random identifiers: a mutant's seed alone decides what it is
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
FORMATS = {
    "mp4 h264": made.H264_MP4,
    "fragmented mp4 h264": made.Format(".mp4", "libx264", "yuv420p", H264, FRAGMENTS),
    "mp4 hevc": made.Format(".mp4", "libx265", "yuv420p", HEVC),
    "mkv h264": made.Format(".mkv", "libx264", "yuv420p", H264, ALIKE),
    "live mkv h264": made.Format(".mkv", "libx264", "yuv420p", H264, ALIKE | {"live": "1"}),
    "mkv hevc": made.Format(".mkv", "libx265", "yuv420p", HEVC, ALIKE),
    "mkv ffv1": replace(made.FFV1_MKV, container_options=ALIKE),
    "webm vp8": replace(made.VP8_WEBM, container_options=ALIKE),
    "webm vp9": replace(made.VP9_WEBM, container_options=ALIKE),
    "ts h264": made.Format(".ts", "libx264", "yuv420p", H264),
    "ts mpeg2": made.Format(".ts", "mpeg2video", "yuv420p", MPEG2),
    "mpg mpeg2": made.MPEG2_MPG,
    "avi mpeg4": made.MPEG4_AVI,
    "avi mjpeg": made.MJPEG_AVI,
    "avi ffv1": replace(made.FFV1_MKV, suffix=".avi"),
    "flv flv1": made.FLV,
    "mxf mpeg2": made.Format(".mxf", "mpeg2video", "yuv420p", MPEG2, ALIKE),
    "asf wmv2": made.WMV,
}
"""By the names that the printed table has."""

WITHOUT_CHECKSUMS = {"mp4 h264", "fragmented mp4 h264", "mp4 hevc", "webm vp8", "ts h264"}
"""Neither container nor codec has a checksum of the pictures, and the codec takes almost any bytes."""


@dataclass
class Clean:
    """A clean video: its bytes, its suffix and the digests of its frames."""

    content: bytes
    suffix: str
    frames: list[bytes]


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, Clean]:
    folder = tmp_path_factory.mktemp("clean")
    return {name: make(folder / name, how) for name, how in FORMATS.items()}


def make(folder: Path, how: made.Format) -> Clean:
    """Noise that moves on a moving scene: no frame is like another, so a lost one shows."""
    random = np.random.default_rng(0)
    scene = made.moving_scene(COUNT, 48, 64, 1.3, 0.7).astype(int)
    noise = np.roll(random.integers(-20, 20, (COUNT, 48, 64)), np.arange(3), (0, 1, 2))
    frames = np.clip(scene + noise, 0, 255).astype(np.uint8)
    path = made.write_video(folder / f"v{how.suffix}", frames, how)
    whole = attempts.digests(made.decode_plainly(path))
    assert len(set(whole)) == COUNT
    return Clean(path.read_bytes(), how.suffix, whole)


def cases(clean, seeds):
    """Each container has as many mutants as another."""
    names = list(clean)
    for seed in seeds:
        name = names[seed % len(names)]
        one = clean[name]
        damage, content = mutant(one.content, seed)
        yield f"{name}: {damage}", (content, one.suffix, one.frames)


def table(counts: fault_campaign.Counts) -> str:
    """How the mutants of each container ended."""
    ends = sorted(counts.of)
    rows = {name: Counter() for name in FORMATS}
    for end, ended in counts.cases.items():
        for case in ended:
            rows[case.partition(":")[0]][end] += 1
    lines = [f"{'':20}" + "".join(f"{end:>10}" for end in ends)]
    lines += [
        f"{name:20}" + "".join(f"{row[end]:10}" for end in ends) for name, row in rows.items()
    ]
    return "\n".join([*lines, str(counts)])


def check(counts: fault_campaign.Counts) -> None:
    """Nothing else than an answer or a refusal, and no file that was merely cut off is short."""
    for end in (fault_campaign.HUNG, fault_campaign.TRACEBACK, fault_campaign.DIED):
        assert not counts.cases[end]
    assert not [case for case in counts.cases[attempts.SHORT] if "cut_off" in case]


def share(counts: fault_campaign.Counts, formats: set[str], *ends: str) -> float:
    """Of all mutants of these formats, the share that ended so."""

    def of_formats(end):
        return sum(case.partition(":")[0] in formats for case in counts.cases[end])

    return sum(map(of_formats, ends)) / sum(map(of_formats, list(counts.of)))


def test_a_few_damaged_videos_are_refused_or_whole(clean):
    check(fault_campaign.run(attempts.decode, cases(clean, range(60))))


@pytest.mark.slow
@pytest.mark.faults
def test_of_many_damaged_videos_few_are_wrong_in_silence(clean):
    counts = fault_campaign.run(attempts.decode, cases(clean, range(1000, 3700)))
    print(table(counts))
    check(counts)
    checked = set(FORMATS) - WITHOUT_CHECKSUMS
    assert share(counts, set(FORMATS), attempts.SHORT) <= 0.005
    assert share(counts, checked, attempts.SHORT, fault_campaign.WRONG) <= 0.02
    assert share(counts, WITHOUT_CHECKSUMS, fault_campaign.WRONG) <= 0.25
