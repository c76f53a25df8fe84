"""Frames, flow, maps and score curves of finished runs."""

import base64

import cv2
import numpy as np
import pytest

from flowcache.errors import UserError
from flowcache.show.colour import flow_to_color
from twostream.fusion import create_rule
from twostream.html_report.pictures import here, open_cache, read_pictures
from twostream.html_report.score_curves import networks_of, score_curves
from twostream.html_report.strips import above_each_other, strip_of
from twostream.runs.files import SCORES
from twostream.scoring.of_runs import scores_of


@pytest.fixture(scope="module")
def folders(finished_runs):
    return [finished_runs / "spatial", finished_runs / "temporal"]


def decoded(address):
    kind, _, content = address.partition(",")
    assert kind == "data:image/webp;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), 1)[..., ::-1]


def test_a_strip_shows_frames_above_their_flow(toy):
    with toy[toy.ids()[0]] as entry:
        strip = strip_of(entry, moments=4, width=200)
        for number, address in enumerate(strip.moments):
            picture = decoded(address).astype(int)
            assert picture.shape == (402, 200, 3)
            frame = cv2.resize(entry.rgb[number], (200, 200)).astype(int)
            assert abs(picture[:200] - frame).mean() < 12
            # At any scale the hue is the same: where the flow goes down, blue and green lead.
            below, field = picture[202:], entry.flow[number]
            colour = cv2.resize(flow_to_color(field, 2.5), (200, 200)).astype(int)
            for half in (np.s_[:90], np.s_[110:]):
                assert below[half].mean((0, 1)).argmin() == colour[half].mean((0, 1)).argmin()


def test_pictures_keep_their_proportions():
    wide = np.zeros((30, 120, 3), np.uint8)
    assert above_each_other(wide, wide, 60).shape == (15 + 2 + 15, 60, 3)


def test_maps_are_shown_for_each_run(folders, toy):
    identifier = toy.ids()[0]
    done = []
    pictures = read_pictures(
        toy, [identifier], networks_of(folders, toy), lambda *counts: done.append(counts)
    )
    assert done == [(1, 1)]
    maps = pictures[identifier].maps
    assert [strip.caption.partition(":")[0] for strip in maps] == ["spatial", "temporal"]
    for strip in maps:
        assert "what spoke for" in strip.caption
        assert len(strip.moments) == len(strip.times) > 0
        assert all(decoded(one).std() > 1 for one in strip.moments)
    assert not read_pictures(toy, [identifier], {})[identifier].maps


def test_what_a_cache_lacks_is_said(toy, tmp_path):
    said = []
    assert open_cache(tmp_path, said.append) is None
    assert here(toy, [toy.ids()[0], "absent/v"], said.append) == [toy.ids()[0]]
    assert "is no flow cache" in said[0]
    assert "1 of the 2 videos" in said[1]
    assert "absent/v" in said[1]


def test_the_mean_of_a_curve_is_what_evaluate_gives(folders, toy):
    """The runs averaged the logits of two clips."""
    spatial, temporal = scores_of(folders)
    rule = create_rule("softmax", {"spatial": 0.3, "temporal": 0.7})
    networks = networks_of(folders, toy)
    for row, identifier in enumerate(spatial.ids[:2]):
        curves = score_curves(networks, rule, toy, identifier, clips=2)
        assert [curve.by for curve in curves] == ["spatial", "temporal", "fused"]
        for curve, one in zip(curves, (spatial, temporal), strict=False):
            mean = np.log(curve.probabilities).mean(0)
            powers = np.exp(mean - mean.max())
            np.testing.assert_allclose(powers / powers.sum(), one.softmax()[row], atol=1e-5)
        both = [curve.probabilities for curve in curves]
        np.testing.assert_allclose(both[2], 0.3 * both[0] + 0.7 * both[1], atol=1e-6)
        # Frames 0 and 4 of 5; fields 0 to 2 and 1 to 3 of 4, at 25 frames a second.
        np.testing.assert_allclose(curves[0].times, [0, 4 / 25])
        np.testing.assert_allclose(curves[1].times, [1 / 25, 2 / 25])


def test_a_network_is_not_asked_about_flow_in_other_steps(folders, make_toy, tmp_path):
    other = make_toy(tmp_path / "other", groups=1, quantizer_step=0.125)
    with pytest.raises(UserError, match=r"temporal was trained on steps of 0\.25 px"):
        networks_of(folders, other)
    (folders[0] / SCORES).stat()  # the runs themselves are there
    with pytest.raises(UserError, match="absent"):
        networks_of([tmp_path / "absent"], other)
