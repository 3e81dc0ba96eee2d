from pathlib import Path

import pytest

from data_files import write_file
from hf_globalpointer.data import DataError, DataReport, read_examples


def test_report_keeps_all_problems_and_sums_up(tmp_path: Path) -> None:
    report = DataReport()
    list(read_examples(write_file(tmp_path / "a.conll", "a B-x\n\n" + "b I-x\n\n" * 250), report=report))
    assert (report.num_examples, report.num_entities, report.num_problems, len(report.problems)) == (
        251,
        251,
        250,
        250,
    )
    lines = report.summary().splitlines()
    assert lines[0] == "examples: 251, entities: 251, problems: 250."
    assert lines[1] == f"  {tmp_path}/a.conll:3: I-x continues no x entity; it is read as beginning one."
    assert (len(lines), lines[-1]) == (7, "  ... and 245 more")


def test_reason_is_told_where_nothing_is_left(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.json", [{"data": {"text": "a"}, "annotations": []}])
    report = DataReport(problems=["of another file"])
    with pytest.raises(DataError) as caught:
        list(read_examples(path, report=report))
    assert str(caught.value) == (
        f"{path}: the file holds no examples. {path}[0]: the task has no annotation; it is left out."
    )
