import subprocess
import sys
import textwrap

import pytest

from flowcache import algorithms, plugins
from flowcache.errors import UserError

PLUGINS = {
    "alpha": """
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import Literal

        @dataclass(frozen=True, kw_only=True)
        class Alpha:
            count: int = 3
            weight: float = 0.5
            lambda_: float = 0.15
            on: bool = True
            mode: Literal["fast", "slow"] = "fast"
            label: str = ""

        create = Alpha
    """,
    "beta": "def create(*, depth: int): return ('beta', depth)",
    "plain": "def create(): return 'plain'",
    "strict": """
        def create(*, depth: int = 1):
            if depth < 1:
                raise ValueError("depth must be 1 or more\\nand this is a second line")
            return depth
    """,
    "breaks": "raise RuntimeError('only who chooses it pays for it')",
    "_private": "raise RuntimeError('never imported')",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package of plug-ins, under a name of its own."""
    name = f"plugins_{tmp_path.name.replace('-', '_')}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").touch()
    for plugin, code in PLUGINS.items():
        (package / f"{plugin}.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    return __import__(name)


def test_the_names_are_the_files_and_nothing_is_imported(folder):
    assert plugins.names(folder) == ["alpha", "beta", "breaks", "plain", "strict"]
    assert not [m for m in sys.modules if m.startswith(f"{folder.__name__}.")]


def test_a_new_file_is_a_new_plugin_without_any_other_edit(folder, tmp_path):
    (tmp_path / folder.__name__ / "gamma.py").write_text("def create(*, x: int = 1): return x")
    assert "gamma" in plugins.names(folder)
    assert plugins.create(folder, "gamma", x=5) == 5


def test_a_folder_is_a_plugin_too(folder, tmp_path):
    package = tmp_path / folder.__name__ / "delta"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import create")
    (package / "inner.py").write_text("def create(*, x: int = 1): return x")
    assert "delta" in plugins.names(folder)
    assert plugins.create(folder, "delta", x=5) == 5


def test_only_the_chosen_file_is_imported(folder):
    assert plugins.create(folder, "plain") == "plain"
    assert f"{folder.__name__}.beta" not in sys.modules
    with pytest.raises(RuntimeError, match="only who chooses it"):
        plugins.create(folder, "breaks")


def test_the_names_of_the_algorithms_are_their_files_and_folders(root):
    files = {p.stem for p in (root / "flowcache" / "algorithms").glob("[!_]*")}
    assert plugins.names(algorithms) == sorted(files)
    assert {"tvl1", "farneback", "dis"} <= files


@pytest.mark.parametrize("name", ["delta", "", "_private", "alpha.py", "../alpha", "os", "Alpha"])
def test_an_unknown_name_is_refused_with_the_names_that_there_are(folder, name):
    for ask in (plugins.create, lambda f, n: plugins.parse_options(f, n, [])):
        with pytest.raises(UserError) as caught:
            ask(folder, name)
        assert repr(name) in str(caught.value)
        assert caught.value.parameter == folder.__name__.removesuffix("s")
        assert "choose from alpha, beta, breaks, plain, strict" in str(caught.value)


def test_an_unknown_option_is_refused_with_the_options_that_there_are(folder):
    for ask in (
        lambda: plugins.create(folder, "alpha", speed=3),
        lambda: plugins.parse_options(folder, "alpha", ["speed=3"]),
    ):
        with pytest.raises(UserError) as caught:
            ask()
        assert str(caught.value) == (
            "alpha has no option 'speed': it has count, weight, lambda, on, mode, label"
        )
        assert caught.value.parameter == "options"
    with pytest.raises(UserError, match="it has none"):
        plugins.create(folder, "plain", speed=3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("count=7", 7),
        ("count=-7", -7),
        ("weight=0.25", 0.25),
        ("weight=1e-3", 0.001),
        ("weight=2", 2.0),
        ("lambda=0.3", 0.3),
        ("on=true", True),
        ("on=No", False),
        ("on=0", False),
        ("on=YES", True),
        ("mode=slow", "slow"),
        ("label=a=b", "a=b"),
        ("label=", ""),
    ],
)
def test_options_are_read_as_the_type_that_the_plugin_declares(folder, text, value):
    (parsed,) = plugins.parse_options(folder, "alpha", [text]).items()
    assert parsed == (text.partition("=")[0], value)
    assert type(parsed[1]) is type(value)
    built = plugins.create(folder, "alpha", **dict([parsed]))
    assert plugins.public_options(built)[parsed[0]] == value


@pytest.mark.parametrize(
    "text",
    ["count=7.5", "count=x", "count=", "weight=x", "on=maybe", "on=", "mode=medium", "count", "=3"],
)
def test_a_value_that_does_not_fit_is_refused_in_one_sentence(folder, text):
    with pytest.raises(UserError) as caught:
        plugins.parse_options(folder, "alpha", [text])
    assert "\n" not in str(caught.value)
    assert text.partition("=")[0] in str(caught.value)
    assert caught.value.parameter == "options"


def test_what_the_plugin_refuses_is_said_in_one_sentence_that_names_it(folder):
    for make in (
        lambda: plugins.create(folder, "strict", depth=0),
        lambda: plugins.build(f"{folder.__name__}.strict", "strict", {"depth": 0}),
    ):
        with pytest.raises(UserError) as caught:
            make()
        assert str(caught.value) == (
            "strict cannot be made with these options: depth must be 1 or more"
        )
        assert caught.value.parameter == "options"


def test_a_module_can_be_built_under_the_name_of_the_plugin_that_it_belongs_to(folder):
    module = f"{folder.__name__}.alpha"
    assert plugins.build(module, "alpha", {"lambda": 2.0}) == plugins.create(
        folder, "alpha", lambda_=2.0
    )
    with pytest.raises(UserError, match=r"^greek has no option 'speed'"):
        plugins.build(module, "greek", {"speed": 1})


def test_what_has_no_default_is_not_the_users_to_say(folder):
    assert plugins.create(folder, "beta", depth=4) == ("beta", 4)
    with pytest.raises(UserError, match="beta has no option 'depth': it has none"):
        plugins.parse_options(folder, "beta", ["depth=4"])


def test_lambda_is_spelled_as_users_spell_it_in_and_out(folder):
    built = plugins.create(folder, "alpha", **{"lambda": 0.4})
    assert built.lambda_ == 0.4
    options = plugins.public_options(built)
    assert options["lambda"] == 0.4
    assert "lambda_" not in options
    assert plugins.create(folder, "alpha", **options) == built


def test_several_options_at_once(folder):
    texts = ["count=1", "on=false", "lambda=2"]
    assert plugins.parse_options(folder, "alpha", texts) == {"count": 1, "on": False, "lambda": 2.0}


def test_listing_the_algorithms_imports_no_heavy_library(root):
    code = (
        "import sys; from flowcache import algorithms, plugins; plugins.names(algorithms); "
        "print([m for m in ('cv2', 'h5py', 'torch', 'numba') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
