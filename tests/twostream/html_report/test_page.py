"""The page as text; how a browser shows it is tested beside this."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_pages import leave_out_plots
from made_scores import told_streams

from flowcache.errors import UserError
from twostream.html_report import page as page_module
from twostream.html_report import plots
from twostream.html_report.content import read_content
from twostream.html_report.page import page, write_page
from twostream.html_report.strips import strip_of
from twostream.scoring.metrics import expected_calibration_error, reliability

STYLE = (Path(page_module.__file__).parent / "page.css").read_text(encoding="utf-8")


class Read(HTMLParser):
    """The ids of the sections, and all text that is neither script nor style."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.words, self.loads, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "section":
            self.sections.append(given["id"])
        self.loads += [given[name] for name in ("src", "href", "data", "action") if name in given]
        if tag in ("script", "style"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data):
        if not self._open and data.strip():
            self.words.append(data.strip())

    @property
    def text(self):
        return " ".join(self.words)


EVERY = ["accuracy", "weight", "confusion", "classes", "learning", "reliability", "rescued", "lost"]


@pytest.fixture(scope="module")
def text(runs):
    return page(read_content(runs, [0.3]))


@pytest.fixture
def no_plots(monkeypatch):
    leave_out_plots(monkeypatch)


def test_the_page_of_two_runs_has_every_section(runs, text):
    content, read = read_content(runs, [0.3]), Read(text)
    assert read.sections == EVERY
    gain = content.fusion.gain
    for told in (gain.verdict, f"gain over {gain.over}, top-1: {gain.top1}", "48 test videos"):
        assert told in read.text
    assert "shares: spatial 0.7, temporal 0.3" in read.text
    assert "temporal has no record of its epochs" in read.text
    assert all(one.startswith(("#", "data:")) for one in read.loads)


def test_without_fusion_without_epochs_and_with_three_runs_the_rest_is_left_out(
    runs, write_runs, no_plots
):
    alone = Read(page(read_content(runs[1:])))
    assert alone.sections == ["accuracy", "confusion", "classes", "reliability", "wrong"]
    names = ("a", "b", "c")
    streams = told_streams(n=20, tells=(2, 2, 2), sureness=(1, 1, 1), names=names)
    three = Read(page(read_content(write_runs(streams))))
    assert three.sections == [name for name in EVERY if name != "weight"]
    assert "gain over" in three.text


def test_scores_that_a_page_cannot_carry_have_no_slider(runs, monkeypatch, no_plots):
    monkeypatch.setattr(page_module, "MOST_SCORES", 2 * 48 * 6 - 1)
    assert "weight" not in Read(page(read_content(runs))).sections
    monkeypatch.setattr(page_module, "MOST_SCORES", 2 * 48 * 6)
    assert "weight" in Read(page(read_content(runs))).sections


def test_names_are_escaped(text):
    assert "<script>alert" not in text
    assert text.count("</script>") == text.count("<script") == 2
    assert "49" not in re.findall(r"\{\{.*?\}\}", text)
    assert "a\\b {{ 7 * 7 }} $x$" in Read(text).text


def test_the_same_runs_make_the_same_page(runs, text):
    assert page(read_content(runs, [0.3])) == text


def test_a_folder_is_no_place_for_a_page(runs, tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        write_page(tmp_path, read_content(runs), {})


def test_a_strip_shows_moments_of_an_entry(toy):
    identifier = toy.ids()[0]
    with toy[identifier] as entry:
        strip = strip_of(entry, moments=3, width=40)
        assert [round(25 * time) for time in strip.times] == [0, 2, 3]
        every = strip_of(entry, moments=9)
    assert len(every.moments) == 4  # no more than there are fields
    assert all(one.startswith("data:image/webp;base64,") for one in strip.moments)
    assert f"{identifier} after 0.0, 0.1, 0.1 seconds" in strip.words_of(identifier)


# What the colours of the page are to be told apart by


def luminance(color):
    """Of sRGB, as WCAG 2.2 has it."""
    shares = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_from_the_ground(scheme):
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    for ground in ("ground", "panel"):
        for text in ("ink", "soft", "link", "good", "bad"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    assert contrast(colors["ink"], colors["heat"]) >= 4.5
    for number in range(1, 7):
        assert contrast(colors[f"series-{number}"], colors["ground"]) >= 3, number


# Plots


def test_the_bins_of_the_diagram_are_those_of_the_error():
    (one, _) = told_streams(seed=6, n=200, sureness=(2.0, 1.0))
    found = reliability(one)
    assert found.videos.sum() == 200
    probabilities = one.softmax().max(1)
    for number, videos in enumerate(found.videos):
        inside = (probabilities > number / 15) & (probabilities <= (number + 1) / 15)
        assert videos == inside.sum()
        if videos:
            assert found.confidence[number] == pytest.approx(probabilities[inside].mean(), abs=1e-6)
            assert found.accuracy[number] == pytest.approx(one.right()[inside].mean())
        else:
            assert np.isnan(found.accuracy[number])
    diagram = plots.reliability_diagram("x", found, "key")
    assert f"ECE {100 * expected_calibration_error(one):.1f} %" in diagram.words


def test_a_plot_is_one_element_in_the_colours_of_the_page(runs):
    content = read_content(runs)
    for plot in (
        plots.learning_curves("<b> $a$", content.records[0].epochs, "one"),
        plots.weight_curve(content.fusion.curve, 0.5),
        plots.reliability_diagram("x", reliability(content.runs[0]), "two"),
    ):
        assert plot.svg.startswith("<svg ")
        assert plot.svg.count("<svg") == plot.svg.count("</svg>") == 1
        assert "<b>" not in plot.svg
        assert not re.search(r"#0000(0|a)\d", plot.svg)
        assert "var(--series-1)" in plot.svg
        assert "currentColor" in plot.svg
        ids = re.findall(r'\bid="([^"]+)"', plot.svg)
        assert len(ids) == len(set(ids))
        for used in re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", plot.svg):
            assert used in ids


def test_a_curve_of_one_epoch_and_an_interval_of_no_width_can_be_drawn(write_runs, monkeypatch):
    epochs = {"epoch": [1.0], "train_loss": [0.5]}
    assert "1 epochs" in plots.learning_curves("x", epochs, "x").words
    leave_out_plots(monkeypatch)
    sure = [
        replace(one, logits=50 * np.eye(5)[one.labels].astype(np.float32)) for one in told_streams()
    ]
    assert "100.0 [100.0, 100.0]" in page(read_content(write_runs(sure)))
