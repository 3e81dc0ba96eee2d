"""Standard input, and what is like it, in place of files."""

import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_globalpointer.cli import main


Run = Callable[..., tuple[int, str, str]]
LABELLED = '{"text": "ab xz", "entities": [{"start": 3, "end": 5, "label": "date"}]}\n'
COLUMNS = "Ada B-date\nmet O\n"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run(*arguments: object, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        output = capfd.readouterr()
        # No copy stays.
        assert list(temporary.iterdir()) == []
        return int(exit.value.code or 0), output.out, output.err

    return run


def texts_of(out: str) -> list[str]:
    return [json.loads(line)["text"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("ab cd\n\nef", ["ab cd", "", "ef"]),
        ('\n{"text": "ab", "id": 1}\n{"text": "c"}\n', ["ab", "c"]),
        ('[\n{"text": "ab"},\n{"text": "c"}]', ["ab", "c"]),
        ("[1] ab\n{c}\nB-d\n", ["[1] ab", "{c}", "B-d"]),
        ("# a\n\nab S-d\n", ["# a", "", "ab S-d"]),
    ],
)
def test_predict_reads_standard_input(given: str, texts: list[str], checkpoint: Path, run: Run) -> None:
    for name in ("-", "/dev/stdin"):
        code, out, err = run("predict", "--model", checkpoint, "--input", name, given=given)
        assert (code, texts_of(out)) == (0, texts), err


def test_predict_resumes_with_standard_input(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "found.jsonl"
    command = ["predict", "--model", checkpoint, "--input", "-", "--output", output]
    records = '{"text": "ab"}\n{"text": "c"}\n'
    assert run(*command, given=records + "{\n")[0] == 1
    code, _, err = run(*command, "--resume", given=records + '{"text": "d"}\n')
    assert code == 0
    assert "Going on after 2 lines" in err
    assert texts_of(output.read_text()) == ["ab", "c", "d"]


def test_a_pipe_is_read_under_its_own_name(checkpoint: Path, run: Run) -> None:
    # As of process substitution in a shell.
    reader, writer = os.pipe()
    os.write(writer, b'{"text": "ab"}\n')
    os.close(writer)
    code, out, err = run("predict", "--model", checkpoint, "--input", f"/dev/fd/{reader}")
    os.close(reader)
    assert (code, texts_of(out)) == (0, ["ab"]), err


def test_what_is_wrong_in_standard_input_has_its_place(run: Run) -> None:
    code, _, err = run("predict", "--model", "nowhere", "--input", "-", given='{"text": 1}\n')
    assert code == 1
    assert err.endswith("/stdin:1: text must be a string, got 1.\n")
    code, _, err = run("predict", "--model", "nowhere", "--input", "-")
    assert code == 1
    assert err.endswith("/stdin: the file holds no examples.\n")


@pytest.mark.parametrize("given", [LABELLED, COLUMNS])
def test_evaluate_reads_standard_input(given: str, checkpoint: Path, run: Run) -> None:
    code, out, err = run("evaluate", "--model", checkpoint, "--data", "-", given=given)
    assert code == 0, err
    assert "│ date " in out
    assert "1/1 texts, " in err


@pytest.mark.parametrize("given", [LABELLED, COLUMNS])
def test_data_check_reads_standard_input(given: str, run: Run) -> None:
    code, out, err = run("data", "check", "-", given=given)
    assert code == 0, err
    assert "│ date " in out
    assert "stdin" in out


@pytest.mark.parametrize(("given", "options"), [(LABELLED, []), (COLUMNS, []), (COLUMNS, ["--from", "conll"])])
def test_data_convert_reads_standard_input(given: str, options: list[str], tmp_path: Path, run: Run) -> None:
    output = tmp_path / "out.jsonl"
    code, _, err = run("data", "convert", "-", output, *options, given=given)
    assert code == 0, err
    (entity,) = json.loads(output.read_text())["entities"]
    assert entity["label"] == "date"


@pytest.mark.parametrize(
    "command", [["evaluate", "--model", "nowhere", "--data", "-"], ["data", "convert", "-", "a.jsonl"]]
)
def test_labeled_input_of_no_known_format_is_told_how_to_name_one(command: list[str], run: Run) -> None:
    code, _, err = run(*command, given="plain text\n")
    assert code == 1
    assert "/stdin: unknown format; name one of jsonl, " in err
    assert "data convert --from" in err
