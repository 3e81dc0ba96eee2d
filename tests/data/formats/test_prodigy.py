import json
from pathlib import Path
from typing import Any

import pytest

from data_files import ADA_READ, ADA_ROWS, Read, check_detected, read_texts, write_file
from hf_globalpointer.data import DataError


PRODIGY = {
    "text": ADA_READ[0],
    "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True}],
    "spans": [{"start": s, "end": e, "label": label, "token_start": 0, "token_end": 1} for s, e, label in ADA_ROWS],
    "_input_hash": 1,
    "answer": "accept",
}


def task(text: str, *regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": text}, "annotations": [{"id": 5, "result": list(regions)}], **more}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(json.dumps(PRODIGY) + "\n", [ADA_READ], id="prodigy"),
        pytest.param({"text": ADA_READ[0], "spans": PRODIGY["spans"]}, [ADA_READ], id="prodigy-without-answer"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "prodigy", content, expected)


def test_prodigy_leaves_out_what_the_annotator_did(tmp_path: Path) -> None:
    tasks = [PRODIGY, *({**PRODIGY, "answer": answer} for answer in ("reject", "ignore"))]
    path = write_file(tmp_path / "a.jsonl", "".join(json.dumps(task) + "\n" for task in tasks))
    assert read_texts(path) == [ADA_READ]
    path = write_file(
        tmp_path / "b.jsonl", json.dumps(PRODIGY) + "\n" + json.dumps({**PRODIGY, "answer": None}) + "\n"
    )
    with pytest.raises(DataError, match=r'b\.jsonl:2: field "answer" is null; it must be "accept", "reject" or'):
        read_texts(path)


def test_prodigy_tasks_that_were_accepted_may_have_no_spans(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.jsonl", json.dumps(PRODIGY) + '\n{"text": "none", "answer": "accept"}\n')
    assert read_texts(path) == [ADA_READ, ("none", [])]
    path = write_file(tmp_path / "b.jsonl", {"text": "none"})
    with pytest.raises(DataError, match=r'b\.jsonl:1: field "spans" is missing; it must be a list'):
        read_texts(path, format="prodigy")
    path = write_file(tmp_path / "c.jsonl", {"text": "a", "spans": [{"start": 0, "end": 1}]})
    with pytest.raises(DataError, match=r'c\.jsonl:1: field "spans\[0\]\.label" is missing'):
        read_texts(path)
