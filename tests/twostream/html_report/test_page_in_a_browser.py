"""The page as Chromium shows it: the slider against `fuse`, the tables, small and dark screens."""

import csv
import json
import re

import numpy as np
import pytest
from called_commands import succeed
from made_pages import leave_out_plots
from made_scores import told_streams

from twostream import score_fusion
from twostream.html_report.content import read_content
from twostream.html_report.page import MOST_OF_A_MATRIX, PAIRS, write_page
from twostream.html_report.strips import Strip, VideoPictures, data_address
from twostream.scoring.scores import Scores

KEYS = {"end": "\ue010", "home": "\ue011", "left": "\ue012", "right": "\ue014", "enter": "\ue007"}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    for name in ("write_confusion_png", "write_curve_png"):
        monkeypatch.setattr(score_fusion, name, lambda *_: None)


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """The page of the runs, with an invented picture of each video that is shown."""
    content = read_content(runs)
    picture = data_address(np.full((60, 80, 3), 90, np.uint8))
    strip = Strip([picture] * 6, list(range(6)), "Invented.")
    pictures = {video.id: VideoPictures(strip) for one in content.chosen for video in one.videos}
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, content, pictures)
    return path


@pytest.fixture
def opened(browser, page):
    browser.get(page.as_uri())
    return browser


def find(browser, css):
    return browser.find_elements("css selector", css)


def texts(browser, css):
    return [one.text for one in find(browser, css)]


def cells_of_page(browser):
    """The row of the average, by the headings of its table."""
    headings = texts(browser, "#at-share thead th")[1:]
    return dict(zip(headings, texts(browser, "#at-share .moving td"), strict=True))


def cells_of_fuse(printed):
    """The row of the fusion in the table that `fuse` prints, without intervals."""
    rows = [re.split(r"\s*[│┃]\s*", line)[1:-1] for line in printed.splitlines() if "│" in line]
    head = next(line for line in printed.splitlines() if "┃" in line)
    (cells,) = (row for row in rows if row[0] == "fused")
    headings = re.split(r"\s*┃\s*", head)[1:-1]
    return {
        name: cell.partition(" [")[0] for name, cell in zip(headings, cells, strict=True) if cell
    }


def fused(runs, share, folder):
    """What `fuse` prints with a share, and the confusion matrix that it writes."""
    words = ["fuse", *map(str, runs), "--weights", str(share), "--run", str(folder)]
    cells = cells_of_fuse(succeed(words))
    cells.pop("stream", None)
    with (folder / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    return {name: cell for name, cell in cells.items() if name and cell != "fused"}, rows


def matrix_of_page(browser, css="#moving-confusion"):
    script = (
        "return [...document.querySelector(arguments[0]).rows].map("
        "row => [...row.cells].map(cell => cell.textContent))"
    )
    return browser.execute_script(script, css)


def set_share(browser, share):
    (exact,) = find(browser, "#exact")
    exact.clear()
    exact.send_keys(str(share))


@pytest.mark.parametrize("share", [0, 0.05, 0.3125, 0.5, 1 / 3, 0.87, 1])
def test_at_any_share_the_page_says_what_fuse_prints(share, opened, runs, tmp_path):
    expected, confusion = fused(runs, share, tmp_path)
    set_share(opened, share)
    assert cells_of_page(opened) == expected
    assert list(expected) == ["top-1", "top-5", "mean class", "ECE", "NLL"]
    shown = matrix_of_page(opened)
    assert shown[0][1:] == confusion[0][1:]
    assert [[cell or "0" for cell in row] for row in shown[1:]] == confusion[1:]


def middle_of(element):
    return element.rect["x"] + element.rect["width"] / 2


def middles_of_labels(browser):
    """Where the labels of the curve's axis stand, by their text; the y axis has other numbers."""
    labels = find(browser, "#weight svg text")
    return {one.text: middle_of(one) for one in labels}


def test_the_slider_moves_by_keys_and_takes_all_else_along(opened, runs, tmp_path):
    (slider,) = find(opened, "#share")
    (marker,) = find(opened, "#share-marker")
    before, start = cells_of_page(opened), marker.rect["x"]
    slider.send_keys(KEYS["right"] * 30)
    assert slider.get_attribute("value") == "0.8"
    assert find(opened, "#exact")[0].get_attribute("value") == "0.8"
    assert cells_of_page(opened) == fused(runs, 0.8, tmp_path)[0] != before
    (now,) = texts(opened, "#now")
    assert now.startswith(f"share 0.8: {cells_of_page(opened)['top-1']} % top-1")
    assert slider.get_attribute("aria-valuetext").startswith("0.8, ")
    # It stands where the axis has that share, as its labels say.
    axis = middles_of_labels(opened)
    for keys, share in (("", 0.8), (KEYS["home"], 0.0), (KEYS["end"], 1.0)):
        slider.send_keys(keys)
        expected = axis["0.0"] + share * (axis["1.0"] - axis["0.0"])
        assert middle_of(marker) == pytest.approx(expected, abs=1.5)
    find(opened, "#reset")[0].click()
    assert cells_of_page(opened) == before
    assert marker.rect["x"] == pytest.approx(start, abs=0.1)


def test_a_share_that_is_none_changes_nothing(opened):
    before = cells_of_page(opened)
    for words in ("", "2", "-1", "x"):
        set_share(opened, words)
    assert cells_of_page(opened) == before


def column(browser, number):
    script = (
        "return [...document.querySelector('#class-table').tBodies[0].rows].map("
        "row => row.cells[arguments[0]].textContent)"
    )
    return browser.execute_script(script, number)


def test_the_table_sorts_by_each_column_both_ways(opened, runs):
    buttons = find(opened, "#class-table thead button")
    names = [one.text for one in buttons]
    assert names[:2] == ["class", "gain"]
    before = column(opened, 0)
    for number, button in enumerate(buttons):
        heads = find(opened, "#class-table thead th")
        for _ in range(2):
            button.send_keys(KEYS["enter"])
            values = column(opened, number)
            order = heads[number].get_attribute("aria-sort")
            if number:
                assert list(map(float, values)) == sorted(
                    map(float, values), reverse=order == "descending"
                )
            others = [one.get_attribute("aria-sort") for one in heads if one != heads[number]]
            assert set(others) == {"none"}
        assert order == ("ascending" if number else "descending")
    assert sorted(column(opened, 0)) == sorted(before)
    buttons[0].click()
    forth = column(opened, 0)
    buttons[0].click()
    assert column(opened, 0) == forth[::-1]


def test_names_are_shown_and_never_run(opened, runs):
    first = Scores.load(runs[0] / "scores.npz")
    assert matrix_of_page(opened)[0][1:] == list(first.classes)
    assert sorted(column(opened, 0)) == sorted(first.classes)
    scripts = opened.execute_script("return [...document.scripts].map(one => one.type)")
    assert scripts == ["application/json", ""]
    log = [line["message"] for line in opened.get_log("browser")]
    assert log == []


def test_nothing_is_asked_of_any_server(opened, page):
    script = "return performance.getEntriesByType('resource').map(one => one.name)"
    asked = [name for name in opened.execute_script(script) if not name.startswith("data:")]
    assert asked == []
    # Not even a script that had got in could: the page forbids it.
    script = (
        "const done = arguments[0]; fetch('https://localhost/').then(() => done('reached'), "
        "error => done(String(error)))"
    )
    assert "reached" not in opened.execute_async_script(script)
    assert any("Content Security Policy" in line["message"] for line in opened.get_log("browser"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_it_fits_a_laptop_and_a_phone_in_light_and_in_dark(width, height, scheme, opened):
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    scheme_is = {"name": "prefers-color-scheme", "value": scheme}
    try:
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_is]})
        opened.refresh()
        wide, room, ink = opened.execute_script(
            "const root = document.documentElement;"
            "return [root.scrollWidth, root.clientWidth, getComputedStyle(document.body).color]"
        )
        assert wide == room
        assert room > width - 20
        bright = sum(map(int, re.findall(r"\d+", ink)[:3])) > 3 * 128
        assert bright == (scheme == "dark")
        # What does not fit scrolls for itself; all else is within the screen.
        outside = opened.execute_script(
            "return [...document.querySelectorAll('h1, h2, h3, p, li, input, button, svg, img')]"
            ".filter(one => !one.closest('.scrolls') && !one.closest('noscript') && !one.hidden"
            " && one.getBoundingClientRect().right > arguments[0] + 1).map(one => one.outerHTML)",
            width,
        )
        assert outside == []
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_can_be_read_without_eyes(opened):
    """Labels, headings in order, tables with headings and captions, pictures in words, ids once."""
    found = json.loads(
        opened.execute_script(
            """const all = (css) => [...document.querySelectorAll(css)];
            return JSON.stringify({
              unlabelled: all('input').filter(one => !one.labels.length).length,
              levels: all('h1, h2, h3').map(one => Number(one.tagName[1])),
              captions: all('table').filter(one => !one.caption?.textContent).length,
              loose: all('th').filter(one => !one.scope).length,
              wordless: all('svg').filter(one => !one.closest('[role=img][aria-label]')).length,
              pictures: all('img').filter(one => !one.closest('[role=img][aria-label]')).length,
              ids: all('[id]').map(one => one.id),
              dead: all('a[href]').filter(
                one => !document.getElementById(one.getAttribute('href').slice(1))).length,
              still: all('.scrolls').filter(one => one.tabIndex !== 0).length,
              language: document.documentElement.lang})"""
        )
    )
    ids = found.pop("ids")
    levels = found.pop("levels")
    assert found.pop("language") == "en"
    assert set(found.values()) == {0}, found
    assert len(ids) == len(set(ids))
    assert levels[0] == 1
    assert max(np.diff(levels)) == 1


def test_of_many_classes_the_most_frequent_confusions_follow_the_slider(
    browser, write_runs, tmp_path, monkeypatch
):
    leave_out_plots(monkeypatch)
    streams = told_streams(seed=5, n=160, k=MOST_OF_A_MATRIX + 1, tells=(0.6, 0.9))
    runs = write_runs(streams)
    write_page(tmp_path / "report.html", read_content(runs), {})
    browser.get((tmp_path / "report.html").as_uri())
    for share in (0.5, 0.9):
        set_share(browser, share)
        _, confusion = fused(runs, share, tmp_path / "fused")
        counts = np.array([row[1:] for row in confusion[1:]], int)
        np.fill_diagonal(counts, 0)
        shown = matrix_of_page(browser)[1:]
        assert [int(row[2]) for row in shown] == sorted(counts.ravel().tolist())[: -PAIRS - 1 : -1]
        classes = list(streams[0].classes)
        for label, predicted, count in shown:
            assert counts[classes.index(label), classes.index(predicted)] == int(count)
        assert len({(label, predicted) for label, predicted, _ in shown}) == PAIRS
    static = matrix_of_page(browser, "#confusion table:last-of-type")
    assert static[0] == ["true", "predicted", "videos"]
