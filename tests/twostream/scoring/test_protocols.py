from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twostream.data.clip_spec import ClipSpec
from twostream.data.crop_and_flip import fixed_views
from twostream.data.sampling import even_clips
from twostream.runs.training_options import TrainOptions
from twostream.scoring.protocols import I3D, NON_LOCAL, PROTOCOLS


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_made_of_options_of_a_run(name):
    options = TrainOptions(stream="spatial", **asdict(PROTOCOLS[name]))
    assert asdict(options).items() >= asdict(PROTOCOLS[name]).items()


def test_the_papers_numbers_of_samples_and_crops():
    views = {name: (one.clips, one.crops) for name, one in PROTOCOLS.items()}
    assert views["two-stream-2014"] == views["tsn"] == (25, 10)
    assert PROTOCOLS["two-stream-2014"].average != PROTOCOLS["tsn"].average
    assert len(set(PROTOCOLS.values())) == len(PROTOCOLS)


@given(st.integers(1, 64), st.data())
def test_clips_of_i3d_leave_no_frame_out_of_a_video_of_ten_clips_length(length, data):
    frames = data.draw(st.integers(1, I3D.clips * length))
    seen = even_clips(np.arange(frames), length, 1, I3D.clips)
    assert set(seen.ravel()) == set(range(frames))


@given(st.integers(32, 200), st.integers(32, 200))
def test_crops_of_non_local_networks_cover_pictures_up_to_three_to_one(height, width):
    side, longer = min(height, width), max(height, width)
    seen = np.zeros((height, width), bool)
    for view in fixed_views(height, width, ClipSpec(crop=side), NON_LOCAL.crops):
        seen[view.top : view.top + view.height, view.left : view.left + view.width] = True
    assert seen.all() == (longer <= 3 * side)
