"""A recording, read back through Rerun's own reader."""

import sys
from collections import defaultdict

import cv2
import numpy as np
import pytest

from flowcache.errors import UserError
from twostream.html_report.content import (
    Answer,
    ChosenVideo,
    ChosenVideos,
    ReportContent,
    read_content,
)
from twostream.html_report.score_curves import networks_of, score_curves
from twostream.html_report.to_rerun import require_rerun, write_rrd


@pytest.fixture
def content(finished_runs, toy):
    """The runs, and two videos that are to be shown whatever is right or wrong of them."""
    read = read_content([finished_runs / "spatial", finished_runs / "temporal"])
    answer = [Answer("spatial", "calm", 0.75, True)]
    videos = [ChosenVideo(one, "calm", answer) for one in toy.ids()[:2]]
    return ReportContent(
        read.runs, read.records, read.fusion, [ChosenVideos("x", "heading", "words", videos)]
    )


def rows_of(path):
    """Of each entity what was logged, as {component: rows}, with the times of those that have one."""
    from rerun.chunk import RrdReader

    found = defaultdict(lambda: defaultdict(list))
    for chunk in RrdReader(str(path)).stream():
        batch = chunk.to_record_batch()
        for name in batch.schema.names:
            values = batch.column(name)
            if name == "video":
                found[chunk.entity_path][name] += np.asarray(values).astype(np.int64).tolist()
            elif name != "log_time":  # when it was written
                found[chunk.entity_path][name] += values.to_pylist()
    return found


def test_frames_flow_and_curves_are_on_one_time_line(content, finished_runs, toy, tmp_path):
    pytest.importorskip("rerun.chunk")
    ids = toy.ids()[:2]
    networks = networks_of([finished_runs / "spatial", finished_runs / "temporal"], toy)
    done = []
    path = tmp_path / "out.rrd"
    write_rrd(path, content, toy, ids, networks, lambda *counts: done.append(counts))
    assert done == [(1, 2), (2, 2)]
    found = rows_of(path)
    for identifier in ids:
        with toy[identifier] as entry:
            times, frames, fields = entry.times, entry.rgb[:], len(entry.flow)
        seconds = np.array(found[f"/{identifier}/frames"]["video"]) / 1e9
        np.testing.assert_allclose(seconds, times, atol=1e-6)
        assert len(found[f"/{identifier}/flow"]["video"]) == fields
        for number, (blob,) in enumerate(found[f"/{identifier}/frames"]["EncodedImage:blob"]):
            picture = cv2.imdecode(np.frombuffer(bytes(blob), np.uint8), 1)[..., ::-1]
            assert abs(picture.astype(int) - frames[number]).mean() < 12
        curves = score_curves(networks, content.fusion.rule, toy, identifier)
        for curve in curves:
            series = found[f"/{identifier}/scores/{curve.by}"]
            np.testing.assert_allclose(series["Scalars:scalars"], curve.probabilities, atol=1e-6)
            np.testing.assert_allclose(np.array(series["video"]) / 1e9, curve.times, atol=1e-6)
            assert series["SeriesLines:names"] == [list(curve.classes)]
        assert len(curves) == 3
        ((text,),) = found[f"/{identifier}/answers"]["TextDocument:text"]
        assert text == "true: calm; spatial: calm 75 %"


def test_without_networks_there_are_frames_and_flow_alone(content, toy, tmp_path):
    pytest.importorskip("rerun.chunk")
    write_rrd(tmp_path / "out.rrd", content, toy, toy.ids()[:1], {})
    entities = {name.rpartition("/")[2] for name in rows_of(tmp_path / "out.rrd")}
    assert entities - {"__properties"} == {"frames", "flow", "answers"}
    with pytest.raises(UserError, match="is a folder"):
        write_rrd(tmp_path, content, toy, [], {})


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(UserError, match=r"pip install 'twostream\[rerun\]'"):
        require_rerun()
