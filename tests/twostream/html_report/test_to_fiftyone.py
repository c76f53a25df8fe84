"""A data set for FiftyOne: what goes into it, and what FiftyOne reads back where it is installed."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_scores import told_streams

from flowcache.errors import UserError
from twostream.html_report.content import read_content
from twostream.html_report.to_fiftyone import (
    fields_of,
    files_of,
    prediction,
    require_fiftyone,
    write_dataset,
)


@pytest.fixture(scope="module")
def content(write_runs):
    names = ("flow-1", "1rgb")
    streams = told_streams(seed=3, n=24, k=4, tells=(1.0, 1.2), names=names)
    return read_content(write_runs(streams))


@pytest.fixture
def videos(content, tmp_path):
    """Files of no content: FiftyOne stores where they are."""
    for number, identifier in enumerate(content.runs[0].ids):
        path = tmp_path / f"{identifier}.{('mp4', 'avi')[number % 2]}"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


class Sample(dict):
    def __init__(self, filepath, tags):
        super().__init__(filepath=filepath, tags=tags)


class Dataset:
    made: dict[str, "Dataset"] = {}  # noqa: RUF012

    def __init__(self, name, persistent):
        assert persistent
        self.samples, self.evaluations = [], {}
        self.made[name] = self

    def add_samples(self, samples):
        self.samples += samples

    def evaluate_classifications(self, field, gt_field, eval_key, classes):
        right = [one[field].label == one[gt_field].label for one in self.samples]
        self.evaluations[eval_key] = np.mean(right)


class NoDatabaseError(Exception):
    pass


@pytest.fixture
def stub(monkeypatch):
    """What of FiftyOne is called, without a database."""
    monkeypatch.setattr(Dataset, "made", {})
    module = SimpleNamespace(
        Sample=Sample,
        Dataset=Dataset,
        Classification=lambda **given: SimpleNamespace(**given),
        dataset_exists=lambda name: name in Dataset.made,
        core=SimpleNamespace(config=SimpleNamespace(FiftyOneConfigError=NoDatabaseError)),
    )
    monkeypatch.setitem(sys.modules, "fiftyone", module)
    return module


def test_every_test_video_becomes_a_sample(stub, content, videos):
    assert write_dataset("mine", content, videos) == 24
    dataset = Dataset.made["mine"]
    assert [one["video_id"] for one in dataset.samples] == list(content.runs[0].ids)
    for row, sample in enumerate(dataset.samples):
        path = Path(sample["filepath"])
        assert path.is_absolute()
        assert path.with_suffix("") == videos / sample["video_id"]
        for field, one in zip(("flow_1", "run_1rgb", "fused"), content.all, strict=True):
            np.testing.assert_array_equal(np.float32(sample[field].logits), one.logits[row])
            assert sample[field].confidence == pytest.approx(one.softmax()[row].max())
    top1 = {f"eval_{f}": one.top(1) for f, one in fields_of(content).items()}
    assert dataset.evaluations == pytest.approx(top1)
    tagged = {one["video_id"]: one["tags"] for one in dataset.samples if one["tags"]}
    expected = {v.id: [group.name] for group in content.chosen for v in group.videos}
    assert tagged == expected != {}


def test_a_data_set_is_not_replaced(stub, content, videos):
    write_dataset("mine", content, videos)
    with pytest.raises(UserError, match="has a data set mine") as raised:
        write_dataset("mine", content, videos)
    assert raised.value.parameter == "output"


@pytest.mark.parametrize("error", [NoDatabaseError, ConnectionError, ValueError])
def test_without_a_database_fiftyone_s_own_words_are_told(error, stub, content, videos):
    def refusing(_):
        raise error("no MongoDB here\nand more")

    stub.dataset_exists = refusing
    with pytest.raises(UserError, match=r"cannot make the data set mine: no MongoDB here$"):
        write_dataset("mine", content, videos)


def test_a_video_that_is_not_there_is_named(content, videos):
    first = content.runs[0].ids[0]
    (videos / f"{first}.mp4").unlink()
    with pytest.raises(UserError, match=f"1 of the 24 test videos are not in .*{first}"):
        files_of(content, videos)


@pytest.mark.parametrize("names", [("a-1", "a_1"), ("tags", "b")])
def test_runs_that_cannot_be_fields_are_refused(names, content):
    alike = [replace(one, name=name) for one, name in zip(content.runs, names, strict=True)]
    with pytest.raises(UserError, match="rename a folder"):
        fields_of(replace(content, runs=alike))


def test_a_rule_without_probabilities_gives_no_confidence(write_runs):
    content = read_content(
        write_runs(told_streams(seed=1), told_streams(seed=2, part="held out")), rule="svm"
    )
    fused = content.all[-1]
    assert prediction(fused, 0)["confidence"] is None
    assert prediction(content.runs[0], 0)["confidence"] > 0


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(UserError, match=r"pip install 'twostream\[fiftyone\]'"):
        require_fiftyone()


def test_fiftyone_reads_back_what_was_written(content, videos):
    fiftyone = pytest.importorskip("fiftyone")
    try:
        fiftyone.list_datasets()
    except Exception as error:  # whatever it raises where it has no database
        pytest.skip(f"FiftyOne has no database here: {error}")
    name = "twostream-test"
    if fiftyone.dataset_exists(name):
        fiftyone.delete_dataset(name)
    try:
        write_dataset(name, content, videos)
        dataset = fiftyone.load_dataset(name)
        assert sorted(dataset.values("video_id")) == sorted(content.runs[0].ids)
        for field, one in fields_of(content).items():
            results = dataset.load_evaluation_results(f"eval_{field}")
            assert results.metrics()["accuracy"] == pytest.approx(one.top(1))
        assert len(dataset.match_tags("rescued")) == len(content.chosen[0].videos)
    finally:
        fiftyone.delete_dataset(name)
