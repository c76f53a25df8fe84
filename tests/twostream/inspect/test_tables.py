from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from flowcache import plugins
from twostream import models
from twostream.commands.main import main
from twostream.inspect import look_up, measure_models, tables
from twostream.inspect.measure_models import measure_model
from twostream.inspect.tables import figures_table, layers_table, papers_table
from twostream.inspect.values import Entry, Input, Layer


def run(words):
    return CliRunner().invoke(main, ["models", *words.split()])


def succeed(words):
    result = run(words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.output


def cells(text, name):
    """The cells of the first row that begins with `name`."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    return next(row for row in rows if row and row[0] == name)


def printed(table, width):
    file = StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue()


def entry(name, stream="spatial"):
    """A row as wide as rows get, without a network."""
    card = plugins.module(models, name).CARD
    return Entry(
        name=name,
        card=card,
        stream=stream,
        classes=400,
        clip=Input(stream=stream).clip(card),
        parameters=138_357_544,
        macs=451_520_000_000,
        field_of_unit=16,
        field_of_scores=64,
        streams=("spatial", "temporal", "bidirectional", "difference"),
    )


@pytest.mark.parametrize(
    ("name", "clip", "parameters", "gmac"),
    [
        # torchvision's; ResNet-18 with 400 classes for its 1000.
        ("resnet", "1×224²", 11_689_512 - 600 * 513, 1.81),
        ("r3d", "16×112²", 33_371_472, 40.7),
    ],
)
def test_a_row_has_the_published_size_and_cost(name, clip, parameters, gmac):
    found = measure_model(name, (), Input())
    assert found.parameters == parameters
    assert found.macs / 1e9 == pytest.approx(gmac, rel=0.01)
    assert cells(printed(figures_table([found], Input()), 200), name)[1] == clip
    assert found.streams == ("spatial", "temporal", "bidirectional", "difference")


def test_the_table_has_a_row_for_each_name_and_nothing_else():
    output = succeed("tiny early_fusion --classes 10 --option dropout=0.1")
    names = [line.split("│")[1].strip() for line in output.splitlines() if line.startswith("│")]
    assert names == ["tiny", "early_fusion"] * 2
    assert "10 classes" in output


def test_the_year_paper_and_weights_are_the_cards():
    card = plugins.module(models, "early_fusion").CARD
    assert cells(printed(papers_table([entry("early_fusion")]), 300), "early_fusion") == [
        "early_fusion",
        str(card.year),
        card.paper,
        card.weights,
    ]


def test_the_stream_and_the_size_of_clips_are_the_users():
    spatial = cells(succeed("tiny"), "tiny")
    temporal = cells(succeed("tiny --stream temporal --length 4 --crop 48"), "tiny")
    assert spatial[1] == "1×64²"
    assert temporal[1] == "4×48²"
    # The first convolution, 16 × 3 × 3, has 8 channels to see and not 3.
    count = [int(row[2].replace(",", "")) for row in (spatial, temporal)]
    assert count[1] - count[0] == 16 * 9 * (8 - 3)


def test_options_reach_the_models():
    narrow, wide = (cells(succeed(f"tiny --option width={n}"), "tiny") for n in (8, 32))
    assert int(narrow[2].replace(",", "")) < int(wide[2].replace(",", ""))


def test_frames_seen_by_the_last_map_and_by_the_scores_are_told_apart():
    output = succeed("late_fusion early_fusion --option backbone=tiny --crop 64")
    assert cells(output, "late_fusion")[4] == "1 → 10"
    assert cells(output, "early_fusion")[4] == "10"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("no_such_model", "choose from"),
        ("tiny --option depth=3", "no option 'depth'"),
        ("--option width=8", "name the model"),
        ("--layers", "layers are those of a model"),
        ("videomae --crop 100", "multiple of 16"),
    ],
)
def test_what_cannot_be_is_one_sentence(words, message):
    result = run(words)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


# Layers

FUSIONS = (
    "early_fusion late_fusion slow_fusion --layers --length 10 --option backbone=tiny --crop 64"
)


def layer(name, size=(256, 10, 13, 13), field=(10, 131, 131), kind="conv"):
    return Layer(name=name, kind=kind, size=size, field=field)


def rows(table):
    """The cells of each row of a table."""
    return list(zip(*(column.cells for column in table.columns), strict=True))


def test_the_three_fusions_stand_side_by_side_and_see_time_late_early_and_slowly():
    lines = [line.split() for line in succeed(FUSIONS).splitlines()]
    found = {line[0]: line[2:] for line in lines if line}
    assert found["features.0"][0::2] == ["16×1×64×64", "16×10×64×64", "16×10×64×64"]
    assert found["features.0"][1::2] == ["10×3×3", "1×3×3", "3×3×3"]
    assert found["fusion.3"] == ["400×1×1×1", "10×64×64"]  # only late fusion has one
    seen = [[cell.split("×")[0] for cell in found[f"features.{n}"][1::2]] for n in (0, 4, 8, 12)]
    early, late, slow = zip(*seen, strict=True)
    assert early == ("10",) * 4
    assert late == ("1",) * 4
    assert slow == ("3", "8", "10", "10")  # 3, 8, 18 and 38 by the book, of 10 frames


def test_layers_of_one_name_share_a_row_and_others_stand_in_their_order():
    table = layers_table({"one": list(map(layer, "acd")), "two": list(map(layer, "abce"))})
    assert [row[0] for row in rows(table)] == ["a conv", "b conv", "c conv", "e conv", "d conv"]
    one, two = ([bool(row[n]) for row in rows(table)] for n in (1, 3))
    assert one == [True, False, True, False, True]
    assert two == [True, True, True, True, False]


def test_three_networks_as_wide_as_alexnet_fit_into_100_columns():
    columns = {f"{name}_fusion": [layer("classifier.1", kind="linear")] for name in "abc"}
    text = printed(layers_table(columns), 100)
    assert "…" not in text
    (row,) = (line.split() for line in text.splitlines() if "classifier.1" in line)
    assert row == ["classifier.1", "linear", *["256×10×13×13", "10×131×131"] * 3]


def test_a_network_alone_fits_into_80_columns():
    deep = [layer(f"stages.3.blocks.{n}", size=(2048, 64, 112, 112)) for n in range(2)]
    assert "…" not in printed(layers_table({"non_local\n64×224²": deep}), 80)


def test_networks_stand_one_after_another_where_there_is_no_room(monkeypatch):
    file = StringIO()
    narrow = Console(file=file, width=60)
    monkeypatch.setattr(tables, "_console", lambda: narrow)
    tables.show_layers(
        ["early_fusion", "late_fusion"], ["backbone=tiny"], Input(length=10, size=64)
    )
    text = file.getvalue()
    assert text.index("early_fusion") < text.index("fc linear") < text.index("late_fusion")
    assert "…" not in text


# How it reads


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_row_of_figures_is_wrapped_or_cut(width):
    entries = [entry(name) for name in plugins.names(models)]
    text = printed(figures_table(entries, Input()), width)
    assert "…" not in text
    for each in entries:
        assert cells(text, each.name)[2:4] == ["138,357,544", "451.5"]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_papers_are_wrapped_and_never_cut(width):
    entries = [entry(name) for name in plugins.names(models)]
    text = printed(papers_table(entries), width)
    assert "…" not in text
    for each in entries:
        assert all(word in text for word in each.card.paper.split())


def test_what_is_piped_has_one_line_for_each_model():
    output = succeed("early_fusion --option backbone=tiny --crop 64")
    card = plugins.module(models, "early_fusion").CARD
    assert card.paper in output


# Models of the test's own

CARD = """
from torch import nn
from twostream.nets.model_card import Card
CARD = Card(paper="Nobody, Nothing [sic], Nowhere", year=1999, length=4, size=8)
"""
OWN = {
    "colour": CARD
    + """
def create(*, channels, length, classes):
    if channels != 3:
        raise ValueError("it sees colours alone")
    return nn.Sequential(nn.Flatten(), nn.Linear(length * channels * 64, classes))
""",
    "long": CARD
    + """
from twostream.nets.layers import require_frames
class Long(nn.Linear):
    def forward(self, clip):
        require_frames(clip, 9, "long")
        return super().forward(clip.mean((1, 3, 4)))
def create(*, channels, length, classes):
    return Long(channels, classes)
""",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Two models in the place of the package's: one for frames alone, one for more than 4 of them."""
    name = f"models_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    for module, code in {"__init__": "", **OWN}.items():
        (tmp_path / name / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for user in (measure_models, look_up):
        monkeypatch.setattr(user, "models", __import__(name))


@pytest.mark.usefixtures("own")
def test_a_model_for_frames_alone_is_shown_so():
    assert cells(succeed("colour"), "colour")[1:] == [
        "4×8²",
        "307,600",
        "0.00",
        "4",
        "no flow",
    ]
    assert "Nothing [sic]" in succeed("colour")
    result = run("colour --stream temporal")
    assert result.exit_code == 1
    assert "colours alone" in result.output


@pytest.mark.usefixtures("own")
def test_models_that_cannot_take_the_clip_are_left_out_with_the_reason():
    output = succeed("")
    assert cells(output, "colour")
    assert "left out: long: long needs clips of 9 frames or more" in output
    result = run("long")
    assert result.exit_code == 1
    assert "9 frames" in result.output
    assert "left out: colour" in succeed("--stream temporal --length 9")


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
def test_every_model_has_its_row(stream):
    output = succeed(f"--stream {stream}")
    assert "left out" not in output
    for name in plugins.names(models):
        assert cells(output, name)[5] == "all"
