import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import Run
from hf_globalpointer import read_examples


UNKNOWN = (
    "cannot tell the format to write; name one of jsonl, conll, brat, doccano, label-studio, by --to, or by `format` "
    "in Python."
)


COLUMNS = "Ada B-per\nLovelace I-per\nmet O\nBob B-per\n\n"


@pytest.fixture
def columns(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text(COLUMNS)
    return path


def test_convert_finds_out_the_formats_and_counts(columns: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "train.jsonl"
    code, out, err = run("data", "convert", columns, output)
    assert (code, out) == (0, "")
    assert f"{columns} (conll) to {output} (jsonl): examples: 1, entities: 2, problems: 0." in err
    assert json.loads(output.read_text()) == {
        "text": "Ada Lovelace met Bob",
        "entities": [{"start": 0, "end": 12, "label": "per"}, {"start": 17, "end": 20, "label": "per"}],
    }
    assert {path.name for path in tmp_path.iterdir()} == {"train.txt", "train.jsonl"}


def test_convert_there_and_back(columns: Path, tmp_path: Path, run: Run) -> None:
    steps = [columns, tmp_path / "a.jsonl", tmp_path / "brat", tmp_path / "b.jsonl", tmp_path / "c.conll"]
    for source, target in pairwise(steps):
        more = ["--to", "brat"] if target.name == "brat" else []
        assert run("data", "convert", source, target, *more)[0] == 0
    assert [e.entities for e in read_examples(steps[-1])] == [e.entities for e in read_examples(columns)]
    assert steps[-1].read_text().split() == COLUMNS.split()


def test_convert_prints_the_first_five_problems(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "a.conll"
    path.write_text("a B-x\n\n" + "b I-x\n\n" * 7)
    code, _, err = run("data", "convert", path, tmp_path / "a.jsonl")
    assert code == 0
    assert "examples: 8, entities: 8, problems: 7." in err
    lines = [line for line in err.splitlines() if "I-x continues no x entity; it is read as beginning one." in line]
    assert [line.split(":")[1] for line in lines] == ["3", "5", "7", "9", "11"]
    assert "  ... and 2 more" in err


def test_convert_reads_the_format_it_is_told(columns: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run("data", "convert", columns, tmp_path / "a.jsonl", "--from", "spert", "--to", "jsonl")
    assert code == 1
    assert err.splitlines()[-1].startswith(f"hf-globalpointer: {columns}:1: not valid JSON (")


@pytest.mark.parametrize(
    ("source", "target", "more", "message"),
    [
        (
            "train.txt",
            "a",
            [],
            f"a: {UNKNOWN}",
        ),
        ("train.txt", "a.jsonl", ["--from", "xml"], "train.txt: unknown format; name one of jsonl,"),
        ("none.txt", "a.jsonl", [], "none.txt: no such file; check the path."),
        ("nested.jsonl", "a.conll", [], "nested.jsonl:1: 'Ada' (x, 0-3) and 'Ada Lovelace' (per, 0-12) overlap;"),
        ("text.txt", "a.jsonl", [], "text.txt: plain text has no entities;"),
        ("nested.jsonl", "a", ["--to", "brat"], "nested.jsonl:2: a type in brat has no whitespace, but 'a b' has;"),
        ("train.txt", "none/a.jsonl", [], "[Errno 2] there is no such folder to write into"),
        ("train.txt", "none/a", ["--to", "brat"], "[Errno 2] there is no such folder to write into"),
    ],
)
def test_convert_says_what_is_wrong_in_one_sentence_and_writes_nothing(
    columns: Path, tmp_path: Path, run: Run, source: str, target: str, more: list[str], message: str
) -> None:
    (tmp_path / "text.txt").write_text("only text\n")
    entities = [{"start": 0, "end": 12, "label": "per"}, {"start": 0, "end": 3, "label": "x"}]
    blank = [{"start": 0, "end": 3, "label": "a b"}]
    records = ({"text": "Ada Lovelace", "id": f"a/{len(some)}", "entities": some} for some in (entities, blank))
    (tmp_path / "nested.jsonl").write_text("\n".join(map(json.dumps, records)))
    before = set(tmp_path.iterdir())
    code, _, err = run("data", "convert", tmp_path / source, tmp_path / target, *more)
    assert code == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].replace(f"{tmp_path}/", "").startswith(f"hf-globalpointer: {message}")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("format", "lines"),
    [
        ("ner-tags", [{"tokens": ["Ada", "left"], "ner_tags": ["B-per", "O"]}]),
        (
            "prodigy",
            [
                {"text": "Ada left", "spans": [{"start": 0, "end": 3, "label": "per"}], "answer": "accept"},
                {"text": "Ada left", "spans": [{"start": 0, "end": 8, "label": "per"}], "answer": "reject"},
            ],
        ),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_convert_json_lines_of_other_tools(
    tmp_path: Path, run: Run, format: str, lines: list[dict[str, object]], named: bool
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, _, err = run("data", "convert", path, tmp_path / "out.jsonl", *(["--from", format] if named else []))
    assert code == 0, err
    assert f"({format}) to {tmp_path}/out.jsonl (jsonl): examples: 1, entities: 1, problems: 0." in err
    entities = [{"start": 0, "end": 3, "label": "per"}]
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"text": "Ada left", "entities": entities}


def test_help_names_the_options(run: Run) -> None:
    code, out, _ = run("data", "convert", "--help")
    assert code == 0
    assert "--from" in out
    assert "--to" in out


def test_convert_into_a_pipe(columns: Path) -> None:
    code = "from hf_globalpointer_cli import main; main()"
    convert = [sys.executable, "-c", code, "data", "convert", str(columns), "/dev/stdout", "--to", "jsonl"]
    done = subprocess.run(convert, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "Ada Lovelace met Bob"


def test_the_input_is_not_written_over(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.conll").write_text(COLUMNS)
    code, _, err = run("data", "convert", tmp_path / "a.conll", tmp_path / ".." / tmp_path.name / "a.conll")
    assert code == 1
    assert "is the input; name another file to write." in err
    assert (tmp_path / "a.conll").read_text() == COLUMNS
