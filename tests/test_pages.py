"""The tutorial and the cookbook: their words are known, and the tutorial is followed in miniature."""

import re
import shlex
from functools import partial
from pathlib import Path

import click
import pytest
import torch
from called_commands import succeed

from twostream.commands.main import main
from twostream.demo import discs

PAGES = ("tutorial", "cookbook")


def page(name):
    return (Path(__file__).parents[1] / "docs" / f"{name}.md").read_text(encoding="utf-8")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)


def lines(name):
    """Each line of the blocks of commands, without the file that its output goes to."""
    return [line.partition(" > ")[0] for block in blocks(name, "sh") for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for name in PAGES for line in lines(name)])
def test_every_line_is_of_known_words(line):
    first, *words = shlex.split(line)
    if first != "twostream":
        assert first in ("cd", "dask")
        return
    words = [word for word in words if word != "-q"]
    command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    known = {o for one in command.params for o in (*one.opts, *one.secondary_opts)}
    assert {word for word in words if re.match("--?[a-z]", word)} <= known


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    docs = Path(__file__).parents[1] / "docs"
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page(name)):
        assert (docs / link).is_file(), link
    headings = re.findall(r"^#+ (.*)$", page(name), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", page(name))) <= anchors


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which the tutorial was followed, with fewer videos and epochs."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discs, "TEXTURES", ("dots", "rings"))
        patch.setattr(discs, "MOVEMENTS", ("rise", "grow"))
        patch.setattr(discs, "render", partial(discs.render, videos_per_class=8))
        patch.setattr(discs, "render_long", partial(discs.render_long, frames=15))
        patch.chdir(folder)
        for line in lines("tutorial"):
            first, *words = shlex.split(line)
            if first == "cd":
                patch.chdir(folder / words[0])
                (toml,) = blocks("tutorial", "toml")
                Path("small.toml").write_text(toml.replace("epochs = 20", "epochs = 1"))
            else:
                succeed(words)
        yield folder / "tutorial"


@pytest.mark.slow
def test_the_tutorial_leaves_what_it_names(followed):
    named = set(re.findall(r"`([\w/-]+\.(?:png|mp4|csv|html|toml))`", page("tutorial")))
    # These are for the reader's own videos, and a form that is mentioned beside another.
    assert {one for one in named if not (followed / one).is_file()} <= {"groups.csv"}
    assert len(named) > 6


@pytest.mark.slow
def test_the_cookbooks_python_runs_where_the_tutorial_was_followed(followed, monkeypatch, capfd):
    monkeypatch.chdir(followed)
    first, second = blocks("cookbook", "python")
    exec(compile(first, "docs/cookbook.md", "exec"), {})
    assert "dots-" in capfd.readouterr().out
    exec(compile(second, "docs/cookbook.md", "exec"), {})
    succeed("evaluate --run runs/balanced --cache cache")
