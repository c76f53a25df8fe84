from io import StringIO

import pytest
from click.testing import CliRunner
from rich.console import Console

from cli import main
from flowcache import plugins
from twostream import models
from twostream.catalogue import Entry, Input, figures_table, layers_table, look_up, papers_table
from twostream.measure import Layer


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
        clip=Input(stream=stream).clip(card),
        parameters=138_357_544,
        macs=451_520_000_000,
        field=(16, 64),
        streams=("spatial", "temporal"),
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
    found = look_up(name, (), Input())
    assert found.parameters == parameters
    assert found.macs / 1e9 == pytest.approx(gmac, rel=0.01)
    assert cells(printed(figures_table([found], Input()), 200), name)[1] == clip
    assert found.streams == ("spatial", "temporal")


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
        ("--option width=8", "name it"),
        ("--layers", "needs a model"),
        ("videomae --crop 100", "multiple of 16"),
    ],
)
def test_what_cannot_be_is_one_sentence(words, message):
    result = run(words)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


# Layers


def test_the_three_fusions_stand_side_by_side():
    output = succeed(
        "early_fusion late_fusion slow_fusion --layers --option backbone=tiny --length 10 --crop 64"
    )
    first = cells(output, "features.0 conv")
    assert first[1::2] == ["16×1×64×64", "16×10×64×64", "16×10×64×64"]
    assert first[2::2] == ["10×3×3", "1×3×3", "3×3×3"]
    assert cells(output, "fusion.3 linear")[4] == "10×64×64"
    assert cells(output, "fusion.3 linear")[1:3] == ["", ""]  # only late fusion has one


def test_slow_fusion_grows_in_time_where_the_others_jump():
    output = succeed(
        "early_fusion late_fusion slow_fusion --layers --option backbone=tiny --length 10 --crop 64"
    )
    convolutions = [cells(output, f"features.{n} conv") for n in (0, 4, 8, 12)]
    early, late, slow = ([int(row[n].split("×")[0]) for row in convolutions] for n in (2, 4, 6))
    assert early == [10] * 4
    assert late == [1] * 4
    assert slow == [3, 8, 10, 10]  # 3, 8, 18 and 38 by the book, of 10 frames


def test_layers_of_one_name_share_a_row_and_others_stand_in_their_order():
    def layer(name):
        return Layer(name=name, kind="conv", size=(4, 1, 8, 8), field=(1, 3, 3))

    table = layers_table(
        {"one": [layer("a"), layer("c")], "two": [layer("a"), layer("b"), layer("c")]}
    )
    text = printed(table, 120)
    names = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert names == ["a conv", "b conv", "c conv"]
    assert cells(text, "b conv")[1:3] == ["", ""]


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
