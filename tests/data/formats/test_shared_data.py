"""The data sets beside the repository, against the counts that their SOURCE.md states."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hf_globalpointer.data import DataReport, Example, read_examples, write_examples


SHARED = Path(__file__).parents[4] / "shared" / "data"
FILES = sorted(SHARED.glob("*/*.jsonl"))

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not FILES, reason=f"needs the data sets in {SHARED}, which are no part of the repository"),
]


def stated(file: Path) -> tuple[int, int]:
    """The numbers of texts and entities of a file."""
    source = (file.parent / "SOURCE.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {re.escape(file.name)} \| (\d+) \| (\d+) \|", source, re.MULTILINE)
    assert row is not None
    return int(row[1]), int(row[2])


def without_source(examples: list[Example]) -> list[Example]:
    return [replace(example, source=None) for example in examples]


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shared_file_is_read_whole_and_round_trips(tmp_path: Path, file: Path) -> None:
    report = DataReport()
    examples = list(read_examples(file, report=report))
    assert (report.num_examples, report.num_entities, report.num_problems) == (*stated(file), 0)
    write_examples(examples, tmp_path / "copy.jsonl")
    assert without_source(list(read_examples(tmp_path / "copy.jsonl"))) == without_source(examples)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_shared_conll04_round_trips_as_columns(tmp_path: Path, split: str) -> None:
    examples = list(read_examples(SHARED / "conll04" / f"{split}.jsonl"))
    write_examples(examples, tmp_path / "a.conll")
    again = list(read_examples(tmp_path / "a.conll"))
    assert [(e.text, set(e.entities)) for e in again] == [(e.text, set(e.entities)) for e in examples]
