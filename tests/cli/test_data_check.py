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
    assert re.search(r"train: entities, tokens +│ +2 ", result.stdout)
    assert "Problems: none" in result.stdout


def test_problems_exit_with_1(tmp_path: Path, tokenizer: Path) -> None:
    train = write(tmp_path / "train.jsonl", CLEAN, CLEAN, ODD)
    result = run(train, write(tmp_path / "dev.jsonl", CLEAN), "--tokenizer", tokenizer)
    assert result.exit_code == 1, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert "1 text occurs before in its split, train" in lines
    assert f"{train}:2: the text of {train}:1" in lines
    assert "1 text occurs in another split, dev" in lines
    assert "1 entity begins or ends with a blank, train" in lines
    assert f"{train}:3: '[ab ]cd' ([date], 0-3)" in lines
    assert f"{train}:3: 'ab ' ([date], 0-3) begins or ends where no token does" in lines


def test_hints_exit_with_0(tmp_path: Path) -> None:
    record = {"text": "in Leeds, today", "entities": [{"start": 3, "end": 9, "label": "place"}]}
    result = run(write(tmp_path / "train.jsonl", record))
    assert result.exit_code == 0
    assert "1 entity begins or ends with punctuation, train" in result.stdout


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
