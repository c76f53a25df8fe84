from pathlib import Path

import pytest

from twostream.runs.files import name_of_run


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("runs/temporal", "temporal"),
        ("runs/temporal.2", "temporal.2"),
        (".", "here"),
        ("..", "above"),
        ("../here/", "here"),
        ("deep/..", "here"),
        ("net.v1.onnx", "net.v1"),
    ],
)
def test_a_run_is_called_by_its_folder_or_file_however_it_is_named(
    run, name, tmp_path, monkeypatch
):
    here = tmp_path / "above" / "here"
    here.mkdir(parents=True)
    (here / "net.v1.onnx").write_bytes(b"")
    monkeypatch.chdir(here)
    assert name_of_run(Path(run)) == name
