import re
import subprocess
import sys

import click
import pytest
from called_commands import run, succeed

from twostream.commands.main import main
from twostream.option_fields import declared
from twostream.runs.training_options import PretrainOptions, TrainOptions

COMMANDS = {
    **main.commands,
    **{f"cache {name}": command for name, command in main.commands["cache"].commands.items()},
}
LEAVES = {name: one for name, one in COMMANDS.items() if not isinstance(one, click.Group)}


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
def test_every_command_lists_its_options_under_both_names_of_the_help(name):
    text = succeed([*name.split(), "--help"])
    for parameter in COMMANDS.get(name, main).params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in text
    assert succeed([*name.split(), "-h"]) == text
    assert "\b" not in text
    assert "\\b" not in text


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
def test_every_command_and_every_option_has_a_sentence(name):
    command = COMMANDS.get(name, main)
    assert re.match(r"[A-Z].*\w", command.help or ""), name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert (parameter.help or "").endswith("."), f"{name} {parameter.opts[0]}"


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_the_help_of_every_command_has_an_example_of_known_words(name):
    text = succeed([*name.split(), "--help"])
    _, _, after = text.partition("\n  Example")
    lines = [line.strip() for line in after.splitlines()[1:] if line.strip()]
    assert lines, text
    for line in lines:
        called = line.removeprefix("twostream ")
        assert line != called, f"{line!r} calls something else"
        (command,) = (one for known, one in LEAVES.items() if f"{called} ".startswith(f"{known} "))
        options = {word for one in command.params for word in one.opts + one.secondary_opts}
        assert {word for word in called.split() if word.startswith("-")} <= options
    assert any(line.startswith(f"twostream {name}") for line in lines)


def test_the_four_commands_stand_in_the_main_help_a_line_each():
    lines = [line.strip() for line in succeed("--help").splitlines()]
    for beginning in (
        "twostream extract-flow videos/",
        "twostream train --stream spatial",
        "twostream train --stream temporal",
        "twostream fuse --weights 0.5",
    ):
        (line,) = (line for line in lines if line.startswith(beginning))
        assert re.fullmatch(r"\s*#.*", line.removeprefix(beginning))


def test_the_commands_are_listed_in_the_order_in_which_they_are_used():
    text = succeed("--help").partition("Commands:\n")[2].partition("\n\n")[0]
    listed = [line.split()[0] for line in text.splitlines() if re.match(r"  \w", line)]
    assert set(listed) == set(main.commands)
    assert listed[:3] == ["extract-flow", "train", "fuse"]


@pytest.mark.parametrize(("name", "kind"), [("train", TrainOptions), ("pretrain", PretrainOptions)])
def test_every_declared_option_is_an_option_of_the_command_with_its_help_and_default(name, kind):
    options = {one.name: one for one in COMMANDS[name].params}
    for each in declared(kind):
        option = options[each.name]
        assert option.opts[0] == f"--{each.name.replace('_', '-')}"
        assert option.help == each.metadata["help"]
        if not option.required:
            assert option.default == each.default


def test_an_option_that_is_on_can_be_turned_off():
    text = succeed("train --help")
    for word in ("flip", "subtract-mean"):
        assert f"--{word} / --no-{word}" in text
    assert "--no-partial-bn" not in text


@pytest.mark.parametrize("start", [["-m", "twostream"], ["cli.py"]], ids=["module", "file"])
def test_it_starts_as_a_module_and_from_a_checkout(start, root):
    result = subprocess.run(
        [sys.executable, *start, "--help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("Usage: twostream ")
    assert all(f"\n  {name} " in result.stdout for name in main.commands)


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert version("twostream") in succeed("--version")


def test_a_word_that_is_not_known_ends_with_2_and_what_is_refused_with_1(tmp_path):
    assert run("nonsense").exit_code == 2
    assert run(f"cache info --cache {tmp_path}").exit_code == 1


def test_help_does_not_wait_for_the_heavy_libraries(root):
    script = (
        "import sys\nfrom click.testing import CliRunner\n"
        "from twostream.commands.main import main\n"
        "for words in (['--help'], ['train', '--help'], ['fuse', '--help'], ['cache', '-h']):\n"
        "    assert CliRunner().invoke(main, words).exit_code == 0\n"
        "print(sorted({'numpy', 'torch', 'lightning', 'cv2', 'h5py', 'av'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
