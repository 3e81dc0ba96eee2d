import json
from pathlib import Path

import pytest

from conftest import Run
from hf_globalpointer import read_examples, suggest
from hf_globalpointer.cli.common import load_pipeline


def test_the_texts_are_written_most_instructive_first_as_predictions(
    trained: Path, toy_data: Path, tmp_path: Path, run: Run
) -> None:
    data, output = toy_data / "test.jsonl", tmp_path / "chosen.json"
    command = ["suggest", "--model", trained, "--input", data, "--top", 5]
    code, _, err = run(*command, "--output", output, "--to", "label-studio")
    assert code == 0, err
    expected = suggest(load_pipeline(str(trained)), list(read_examples(data, labeled=False)), top=5)
    tasks = json.loads(output.read_text())
    assert [task["data"]["text"] for task in tasks] == [each.example.text for each in expected]
    assert all("annotations" not in task for task in tasks)
    regions = [region["value"]["text"] for task in tasks for region in task["predictions"][0]["result"]]
    assert regions == [each.example.text[e.start : e.end] for each in expected for e in each.example.entities]
    values = (
        f"the doubts about it add up to {expected[0].value:.2f}, those about the last to {expected[-1].value:.2f}."
    )
    assert f"{output} has 5 texts with {len(regions)} entities to correct, the most instructive first: {values}" in err
    for name, format in (("chosen.jsonl", None), ("chosen.jsonl", "doccano"), ("folder", "brat")):
        assert run(*command, "--output", tmp_path / name, *(["--to", format] if format else []))[0] == 0
        read = [example.text for example in read_examples(tmp_path / name, format)]
        assert read == [each.example.text for each in expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "out.xyz"], "out.xyz: cannot tell the format to write; name one of jsonl"),
        (["--output", ".", "--to", "jsonl"], ".: a folder; name a file."),
        (["--output", "out.conll"], "out.conll: columns hold no overlapping entities, and "),
        (["--output", "out.jsonl", "--max-length", 50], "`max_length` must be at most 40"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(
    options: list[object],
    message: str,
    trained: Path,
    toy_data: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("suggest", "--model", trained, "--input", toy_data / "test.jsonl", *options)
    assert code == 1
    assert message in err
    assert not list(tmp_path.iterdir())


def test_a_model_without_doubts_suggests_nothing(trained: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.txt").write_text(".\n")
    code, _, err = run(
        "suggest", "--model", trained, "--input", tmp_path / "empty.txt", "--output", tmp_path / "out.jsonl"
    )
    assert code == 1
    assert "the model has no doubts about the texts of" in err
    assert not (tmp_path / "out.jsonl").exists()
