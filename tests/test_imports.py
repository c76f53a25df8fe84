"""The rules of the house, read from the source files."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("cli", "twostream", "flowcache")
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.py", "flowcache/**/*.py", "twostream/**/*.py")
    for path in ROOT.glob(pattern)
)


def sources(*patterns):
    return [s for s in SOURCES if any(Path(s).match(p) for p in patterns)]


def resolve(module, name):
    """`from a import b` imports the module a.b where there is one, else a."""
    path = ROOT.joinpath(*module.split("."), name)
    return f"{module}.{name}" if path.with_suffix(".py").exists() or path.is_dir() else module


@cache
def parsed(source):
    return ast.parse((ROOT / source).read_text(encoding="utf-8"))


@cache
def imports(source, at_import_only=False):
    """Every module that a file names in an import statement, anywhere in it."""
    nodes = list(ast.walk(parsed(source)))
    if at_import_only:
        inside = {
            id(n)
            for f in nodes
            if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for n in ast.walk(f)
        }
        nodes = [n for n in nodes if id(n) not in inside]
    found = set()
    package = source.removesuffix(".py").split("/")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {resolve(module, alias.name) for alias in node.names}
    return frozenset(found)


def tops(source, **how):
    return {module.partition(".")[0] for module in imports(source, **how)}


def ours(source):
    return {m for m in imports(source) if m.partition(".")[0] in OURS}


def third_party(source):
    return tops(source) - set(sys.stdlib_module_names) - set(OURS)


def of_folder(folder):
    return [s for s in SOURCES if s.startswith(f"{folder}/") and s != f"{folder}/__init__.py"]


FLOORS = {
    "flowcache": [
        {"errors", "types"},
        {"atomic", "compiled", "indexing", "plugins", "quantize"},
        {"algorithms", "video"},
        {"cache"},
        {"workers"},
        {"extraction"},
        {"show", "exchange"},
    ],
    "twostream": [
        {"option_fields"},
        {"data", "nets"},
        {"backbones"},
        {"models"},
        {"runs"},
        {"scoring", "training"},
        {"fusion", "report", "learning"},
        {"prediction", "inspect", "demo", "stages", "score_fusion"},
        {"explanation"},
        {"protocol", "timeline", "exporting", "html_report"},
        {"live"},
        {"api"},
        {"commands"},
        {"__main__"},
    ],
}
"""The rooms of both packages; each imports itself and what stands on the floors above it in its list."""

HEAVY = {
    "torch",
    "cv2",
    "h5py",
    "lightning",
    "av",
    "joblib",
    "matplotlib",
    "numba",
    "scipy",
    "sklearn",
    "onnx",
    "onnxruntime",
}
"""What takes so long to load that a command first does it when it needs it."""


def room(module):
    return module.split(".")[1]


def loaded_by(module, wanted):
    """Which of these are loaded in a new process that imports a module."""
    code = f"import sys, {module}; print(*(set({sorted(wanted)!r}) & sys.modules.keys()))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_the_rules_have_files_to_look_at():
    for folder in ("flowcache", "flowcache/algorithms", "twostream/models", "twostream/fusion"):
        assert of_folder(folder), folder
    assert imports("flowcache/cache/store.py") >= {"flowcache.cache.entry", "filelock"}
    assert imports("flowcache/cache/recipe.py") >= {"flowcache.algorithms", "flowcache.plugins"}


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_every_room_stands_on_a_floor(package):
    rooms = {p.stem for p in (ROOT / package).iterdir() if p.suffix == ".py" or p.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py"} == set().union(*FLOORS[package])


@pytest.mark.parametrize("source", [*of_folder("flowcache"), *of_folder("twostream")])
def test_rooms_import_downward_only(source):
    package, own, *_ = source.removesuffix(".py").split("/")
    floors = FLOORS[package]
    (floor,) = (i for i, rooms in enumerate(floors) if own in rooms)
    below = set().union(*floors[:floor])
    assert {room(m) for m in ours(source) if m.startswith(f"{package}.")} <= below | {own}


@pytest.mark.parametrize("source", of_folder("flowcache"))
def test_flowcache_imports_neither_twostream_nor_the_commands_nor_torch(source):
    forbidden = {"twostream", "cli", "lightning", "torchmetrics", "click", "rich"}
    assert not tops(source) & forbidden
    assert source.startswith("flowcache/algorithms/") or "torch" not in tops(source)


def test_no_folder_holds_more_than_a_dozen_things():
    for folder in {(ROOT / s).parent for s in SOURCES if s.startswith("flowcache/")}:
        things = {p for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
        assert len(things - {folder / "__init__.py"}) <= 14, folder


@pytest.mark.parametrize("source", [s for s in SOURCES if s != "cli.py"])
def test_nobody_imports_the_file_that_is_only_the_door(source):
    assert "cli" not in tops(source)


def test_the_door_opens_on_the_commands_and_holds_nothing_of_its_own():
    assert imports("cli.py") == imports("twostream/__main__.py") == {"twostream.commands.main"}


def test_the_words_of_the_command_line_stand_with_the_commands_alone():
    named = [s for s in SOURCES if "click" in tops(s)]
    assert {s.rpartition("/")[0] for s in named} == {"twostream/commands"}
    for command in ("train", "fuse", "predict"):
        assert f"twostream/commands/{command}.py" in named


def test_types_import_nothing_of_ours():
    assert not ours("flowcache/types.py")


@pytest.mark.parametrize("source", of_folder("flowcache/algorithms"))
def test_algorithms_import_the_lowest_floors_and_what_they_share_or_own_alone(source):
    parts = source.removesuffix(".py").split("/")
    owned = tuple(f"flowcache.algorithms.{name}" for name in ("_", parts[2]))
    rest = {m for m in ours(source) if not m.startswith(owned)}
    assert rest <= {f"flowcache.{name}" for name in ("types", "errors", "quantize", "compiled")}


@pytest.mark.parametrize("source", of_folder("twostream/models"))
def test_models_import_torch_and_what_models_share_alone(source):
    shared = {"twostream.backbones"} | {m for m in ours(source) if m.startswith("twostream.nets.")}
    assert ours(source) <= shared
    assert third_party(source) <= {"torch"}


@pytest.mark.parametrize("source", of_folder("twostream/backbones"))
def test_backbones_import_torch_and_what_networks_share_alone(source):
    shared = {m for m in ours(source) if m.startswith("twostream.nets.")}
    assert ours(source) <= shared | {"flowcache.errors"}
    assert third_party(source) <= {"torch", "timm"}
    assert "timm" not in tops(source, at_import_only=True)


@pytest.mark.parametrize("source", of_folder("twostream/fusion"))
def test_fusion_rules_import_scores_and_what_they_share_alone(source):
    shared = {m for m in ours(source) if m.startswith("twostream.fusion._")}
    assert ours(source) <= {"twostream.scoring.scores"} | shared


def test_who_scores_needs_no_lightning_and_who_predicts_no_torch_before_it_loads_a_network():
    heavy = {"torch", "lightning", "torchmetrics", "matplotlib"}
    assert loaded_by("twostream.timeline.predict", heavy) == set()  # and with it prediction
    assert loaded_by("twostream.explanation.of_videos", heavy) == set()
    assert loaded_by("twostream.prediction.torch_network", heavy) == {"torch"}


@pytest.mark.parametrize(
    "folder",
    ["flowcache/algorithms", "twostream/backbones", "twostream/models", "twostream/fusion"],
)
def test_plugins_never_import_one_another_and_nobody_imports_one_by_name(folder):
    package = folder.replace("/", ".")
    for source in SOURCES:
        named = {m for m in imports(source) if m.startswith(f"{package}.")}
        if source.startswith(f"{folder}/"):  # what is private is for the plug-ins beside it
            own = f"{package}.{source.removeprefix(f'{folder}/').removesuffix('.py').split('/')[0]}"
            named = {m for m in named if not m.startswith((f"{package}._", own))}
        # What the process of a device relies on is no plug-in.
        assert named <= {"flowcache.algorithms._batched.contract"}, f"{source} imports {named}"
    assert not imports(f"{folder}/__init__.py") & {package}


@pytest.mark.parametrize(
    "source", sources("twostream/training/fit.py", "twostream/training/module.py")
)
def test_training_is_handed_its_model_and_its_loader(source):
    named = {m for m in ours(source) if m.startswith(("twostream.models", "twostream.data.clips"))}
    assert not named


@pytest.mark.parametrize("module", ["cli", "twostream", "twostream.commands.main"])
def test_the_commands_load_nothing_heavy_until_one_runs(module):
    assert loaded_by(module, HEAVY) == set()


@pytest.mark.parametrize("source", SOURCES)
def test_no_module_changes_the_process_when_it_is_imported(source):
    """No handlers, torch flags, thread counts or environment set at import."""
    statements = [
        n
        for top in parsed(source).body
        if not isinstance(top, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        and not (isinstance(top, ast.If) and "__main__" in ast.unparse(top.test))
        for n in ast.walk(top)
    ]
    calls = [ast.unparse(n.func) for n in statements if isinstance(n, ast.Call)]
    for call in calls:
        assert not call.startswith(("signal.", "logging.basicConfig", "warnings.", "torch.set_"))
        assert call not in ("cv2.setNumThreads", "os.environ.setdefault", "np.seterr", "locals")
    targets = [ast.unparse(t) for n in statements if isinstance(n, ast.Assign) for t in n.targets]
    assert not [t for t in targets if t.startswith(("os.environ", "torch.backends"))]


@pytest.mark.parametrize("source", SOURCES)
def test_no_error_is_swallowed_by_a_bare_except(source):
    nodes = ast.walk(parsed(source))
    assert not [n.lineno for n in nodes if isinstance(n, ast.ExceptHandler) and not n.type]


@pytest.mark.parametrize("source", SOURCES)
def test_no_file_is_longer_than_400_lines(source):
    assert len((ROOT / source).read_text(encoding="utf-8").splitlines()) <= 400
