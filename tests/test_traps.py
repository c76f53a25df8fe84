"""docs/traps.md names the tests that guard against each mistake: they are tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAPS = re.split(r"^- ", (ROOT / "docs/traps.md").read_text(encoding="utf-8"), flags=re.M)[1:]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def functions_of(source):
    """The tests of a file that are always collected, by their names."""
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {one.name: one for one in functions if one.name.startswith("test_")}


def is_left_out(test):
    """Whether all of a test is marked as slow, or as one that may be skipped."""
    marks = [ast.unparse(each) for each in test.decorator_list]
    return any(re.match(r"pytest\.mark\.(slow|faults|gpu|skip\w*|xfail)", mark) for mark in marks)


def test_there_are_traps_to_look_at():
    assert len(TRAPS) > 20


@pytest.mark.parametrize("trap", TRAPS, ids=lambda text: text.partition("**")[2].partition("**")[0])
def test_each_trap_names_tests_that_there_are_and_that_make_test_runs(trap):
    named = NAMED.findall(trap)
    assert named, trap
    assert trap.count("`tests/") == len(named), "a test is not written as `tests/….py::test_…`"
    for source, name in named:
        assert name in functions_of(source), f"{source} has no {name}"
        assert not is_left_out(functions_of(source)[name]), (
            f"{source}::{name} is not run by `make test`"
        )
