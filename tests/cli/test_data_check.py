import json
import re
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from conftest import make_char_tokenizer
from hf_globalpointer.cli.data_check import check


CLEAN = {"text": "xz y", "entities": [{"start": 0, "end": 2, "label": "date"}]}
ODD = {"text": "ab cd", "entities": [{"start": 0, "end": 3, "label": "[date]"}]}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    make_char_tokenizer().save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path / "tokenizer"


def write(path: Path, *records: dict[str, object]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    app = Typer()
    app.command()(check)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "150"})


def test_clean_data_exit_with_0(tmp_path: Path, tokenizer: Path) -> None:
    train = write(tmp_path / "train.jsonl", CLEAN, {"text": "none", "entities": []})
    result = run(train, "--tokenizer", tokenizer)
    assert result.exit_code == 0, result.output
    assert re.search(r"train +│ +2 +│ +1 +│ +1 +│ 0 \(0.0%\)", result.stdout)
    assert re.search(r"date +│ +1 ", result.stdout)
    assert re.search(r"train: entity tokens +│ +2 ", result.stdout)
    assert "Problems: none" in result.stdout


def test_problems_exit_with_1(tmp_path: Path, tokenizer: Path) -> None:
    train = write(tmp_path / "train.jsonl", CLEAN, CLEAN, ODD)
    result = run(train, write(tmp_path / "dev.jsonl", CLEAN), "--tokenizer", tokenizer)
    assert result.exit_code == 1, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert "text occurs before in its split, train: 1" in lines
    assert f"{train}:2: the text of {train}:1" in lines
    assert "text occurs in another split, dev: 1" in lines
    assert "entity begins or ends with whitespace, train: 1" in lines
    assert f"{train}:3: '[ab ]cd' ([date], 0-3)" in lines
    assert f"{train}:3: 'ab ' ([date], 0-3) begins or ends where no token does" in lines


def test_hints_exit_with_0(tmp_path: Path) -> None:
    record = {"text": "in Leeds, today", "entities": [{"start": 3, "end": 9, "label": "place"}]}
    result = run(write(tmp_path / "train.jsonl", record))
    assert result.exit_code == 0
    assert "entity begins or ends with punctuation, train: 1" in result.stdout


def test_texts_that_occur_again_exit_with_0(tmp_path: Path) -> None:
    result = run(write(tmp_path / "train.jsonl", CLEAN, CLEAN))
    assert result.exit_code == 0
    assert "text occurs before in its split, train: 1" in result.stdout


def test_labels_that_train_would_refuse_exit_with_1(tmp_path: Path) -> None:
    files = [write(tmp_path / "train.jsonl", CLEAN), write(tmp_path / "dev.jsonl", ODD | {"text": "abcde"})]
    result = run(*files)
    assert result.exit_code == 1
    assert "label does not occur in the training split, dev: 1" in result.stdout


def test_some_findings_are_shown_or_all(tmp_path: Path) -> None:
    # More than 100, as ":100:" is not to become a picture.
    path = write(tmp_path / "train.jsonl", *[CLEAN] * 152)
    assert run(path).stdout.count(f": the text of {path}:1\n") == 3
    assert "    ... and 148 more, which --all shows\n" in run(path).stdout
    result = run(path, "--all")
    assert result.stdout.count(f": the text of {path}:1\n") == 151
    assert "more" not in result.stdout


def test_what_is_not_read_exactly_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "train.conll"
    path.write_text("a B-x\n\n" + "b I-x\n\n" * 150)
    result = run(path, "--all")
    assert result.exit_code == 1
    assert "  not read exactly, train: 150\n" in result.stdout
    assert result.stdout.count("I-x continues no x entity; it is read as beginning one.") == 150


def test_json(tmp_path: Path, tokenizer: Path) -> None:
    train = write(tmp_path / "train.jsonl", CLEAN, CLEAN, ODD)
    dev = write(tmp_path / "dev.jsonl", {"text": "é", "entities": []})
    result = run(train, dev, "--tokenizer", tokenizer, "--json")
    assert result.exit_code == 1
    splits = json.loads(result.stdout)["splits"]
    assert list(splits) == ["train", "dev"]
    findings = {found["kind"]: found for found in splits["train"].pop("findings")}
    assert splits["train"] == {
        "texts": 3,
        "without_entities": 0,
        "entities": 3,
        "nested": 0,
        "crossing": 0,
        "doubly_labeled": 0,
        "labels": {"date": 2, "[date]": 1},
        "lengths": {
            "text_characters": {"median": 4, "p95": 5, "longest": 5},
            "entity_characters": {"median": 2, "p95": 3, "longest": 3},
            "text_tokens": {"median": 5, "p95": 6, "longest": 6},
            "entity_tokens": {"median": 2, "p95": 2, "longest": 2},
        },
    }
    assert findings["duplicate"] == {
        "kind": "duplicate",
        "is_problem": False,
        "count": 1,
        "messages": [f"{train}:2: the text of {train}:1"],
    }
    assert findings.keys() == {"duplicate", "blank_edge", "unaligned", "few_entities"}
    assert findings["blank_edge"]["is_problem"]
    assert splits["dev"]["findings"] == []
    assert splits["dev"]["lengths"]["entity_tokens"] == {"median": 0, "p95": 0, "longest": 0}


def test_long_labels_leave_room_in_the_tables(tmp_path: Path) -> None:
    labels = ("x" * 300, "长" * 300)
    records = ({"text": "ab", "entities": [{"start": 0, "end": 2, "label": label}]} for label in labels)
    result = run(write(tmp_path / "train.jsonl", *records))
    (table,) = re.findall(r" Entities .*?└", result.stdout, re.DOTALL)
    assert re.search(rf"│ {'x' * 39}… │ +1 │", table)
    assert re.search(rf"│ {'长' * 19} … │ +1 │", table)
    assert len(table.splitlines()) == 1 + 3 + 2 + 1


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = [write(tmp_path / folder / "data.jsonl", CLEAN) for folder in "ab"]
    result = run(*files)
    assert result.exit_code == 1
    assert f"{files[1]}:1: the text of {files[0]}:1 of {files[0]}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: no such file; check the path."),
        (["bad.jsonl"], "bad.jsonl:1: "),
        (["train.jsonl", "train.jsonl"], "a file is given twice."),
        (["train.jsonl", "--tokenizer", "/no/such/folder"], "cannot load the tokenizer /no/such/folder"),
        (
            ["train.jsonl", "--plot", "plot.txt"],
            "--plot must name a file that ends in .png, .svg, .pdf, got plot.txt.",
        ),
        (["train.jsonl", "--plot", "no/plot.png"], "cannot write no/plot.png; name a file in a folder that exists"),
    ],
)
def test_what_cannot_be_used_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.jsonl", CLEAN)
    write(tmp_path / "bad.jsonl", {"text": "no entities"})
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"hf-globalpointer: {message}")


def test_plot(tmp_path: Path, tokenizer: Path) -> None:
    pytest.importorskip("matplotlib")
    files = [write(tmp_path / "tra$in$.jsonl", CLEAN), write(tmp_path / "dev.jsonl", {"text": "ab", "entities": []})]
    result = run(*files, "--tokenizer", tokenizer, "--plot", tmp_path / "lengths.svg")
    assert result.exit_code == 0, result.output
    assert "lengths.svg" in result.stderr
    assert (tmp_path / "lengths.svg").stat().st_size > 5_000


def test_plot_of_an_empty_text_and_no_entity(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    pytest.importorskip("matplotlib")
    result = run(write(tmp_path / "a.jsonl", {"text": "", "entities": []}), "--plot", tmp_path / "lengths.svg")
    assert result.exit_code == 1, result.output  # the text without characters
    assert (tmp_path / "lengths.svg").exists()
    assert not [warning for warning in recwarn if "legend" in str(warning.message)]


def test_plot_has_the_same_edges_for_all_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = pytest.importorskip("matplotlib.axes")
    edges = []
    monkeypatch.setattr(
        axes.Axes, "hist", lambda self, *_, bins, **__: edges.append(bins) or self.plot([0], label="x")
    )
    records = ({"text": "a" * length, "entities": [{"start": 0, "end": 1, "label": "x"}]} for length in (7, 200))
    run(
        *(write(tmp_path / f"{name}.jsonl", record) for name, record in zip("ab", records, strict=True)),
        "--plot",
        tmp_path / "lengths.svg",
    )
    assert edges[0] == edges[1]
    assert (len(edges[0]), edges[0][0], edges[0][-1]) == (51, -0.5, 200.5)
    assert edges[2] == edges[3] == [-0.5, 0.5, 1.5]


def test_plot_that_cannot_be_written_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure.Figure, "savefig", fail)
    result = run(write(tmp_path / "train.jsonl", CLEAN), "--plot", tmp_path / "lengths.svg")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "hf-globalpointer: [Errno 28] No space left on device"


def test_plot_without_matplotlib_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_globalpointer.cli.data_check.find_spec", lambda name: None)
    result = run("missing.jsonl", "--plot", tmp_path / "lengths.png")
    assert result.exit_code == 2
    assert "pip install 'hf-globalpointer[plot]'" in result.stderr
