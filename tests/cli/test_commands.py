import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hf_globalpointer
from conftest import Run
from hf_globalpointer import read_examples


GOOD = '{"text": "ab xz", "entities": [{"start": 3, "end": 5, "label": "date"}]}\n'


def test_predict_writes_the_packages_own_format(trained: Path, toy_data: Path, tmp_path: Path, run: Run) -> None:
    code, out, _ = run("predict", "--model", trained, "ab xz", "qyq")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == ["ab xz", "qyq"]
    assert [(e["start"], e["end"], e["label"]) for e in lines[1]["entities"]] == [(0, 3, "person"), (1, 2, "place")]
    assert all(0.5 < e["score"] < 1 for line in lines for e in line["entities"])

    output = tmp_path / "found.jsonl"
    assert run("predict", "--model", trained, "--input", toy_data / "test.jsonl", "--output", output)[0] == 0
    given, found = (list(read_examples(path)) for path in (toy_data / "test.jsonl", output))
    assert [(example.id, example.text) for example in found] == [(example.id, example.text) for example in given]
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]

    text = tmp_path / "texts.txt"
    text.write_text("ab xz\n\nqyq\n", encoding="utf-8")
    first, blank, last = run("predict", "--model", trained, "--input", text)[1].splitlines(keepends=True)
    assert first + last == out
    assert json.loads(blank) == {"text": "", "entities": []}
    assert '"entities": []' in run("predict", "--model", trained, "--threshold", 0.999999, "c")[1]


def test_a_prediction_that_fails_midway_leaves_no_file_that_looks_whole(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "broken.jsonl").write_text(GOOD * 6 + "{\n" + GOOD)
    output = tmp_path / "found.jsonl"
    code, _, err = run(
        "predict", "--model", trained, "--input", tmp_path / "broken.jsonl", "--output", output, "--batch-size", 2
    )
    assert code == 1
    assert "broken.jsonl:7" in err.splitlines()[-1]
    assert not output.exists()
    assert len((tmp_path / "found.jsonl.partial").read_text().splitlines()) == 6


def test_a_lone_surrogate_comes_out_as_it_went_in(trained: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "texts.jsonl").write_text('{"id": 7, "text": "xz \\ud800 \u00e9"}\n', encoding="utf-8")
    code, out, _ = run("predict", "--model", trained, "--input", tmp_path / "texts.jsonl")
    assert code == 0
    record = json.loads(out)
    assert (record["id"], record["text"]) == (7, "xz \ud800 \u00e9")


def test_output_follows_links_and_leaves_devices_what_they_are(trained: Path, tmp_path: Path, run: Run) -> None:
    link, target = tmp_path / "link.jsonl", tmp_path / "target.jsonl"
    target.touch()
    link.symlink_to(target)
    assert run("predict", "--model", trained, "xz", "--output", link)[0] == 0
    assert link.is_symlink()
    assert '"label": "date"' in target.read_text()
    code, _, err = run("predict", "--model", trained, "xz", "--output", "/dev/full")
    assert (code, Path("/dev/full").is_char_device()) == (1, True)
    assert err.splitlines()[-1] == "hf-globalpointer: [Errno 28] No space left on device"


def test_the_installed_command_answers(tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("hf-globalpointer"))
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in ("train", "evaluate", "predict"))
    failed = subprocess.run(
        [command, "evaluate", "--model", "x", "--data", "nowhere.jsonl"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    # Libraries that Transformers imports may say something first.
    assert failed.stderr.endswith("hf-globalpointer: nowhere.jsonl: no such file; check the path.\n")
    assert "Traceback" not in failed.stderr
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"hf-globalpointer {hf_globalpointer.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "--model", "{model}", "x", "--output", "empty"], "cannot write empty: it is a folder"),
        (["predict", "--model", "{model}"], "give either texts or --input"),
        (["predict", "--model", "{model}", "x", "--input", "good.jsonl"], "give either texts or --input"),
        (["predict", "--model", "{model}", "x", "--threshold", "1.5"], "--threshold must be between 0 and 1"),
        (["predict", "--model", "{model}", "--input", "nowhere.txt"], r"nowhere\.txt: no such file"),
        (["predict", "--model", "{model}", "--input", "good.csv"], r"good\.csv:1: no column is named text"),
        (["predict", "--model", "{model}", "x", "--output", "nowhere/x.jsonl"], "cannot write nowhere"),
        (["predict", "--model", "{model}", "x", "--output", "-"], "cannot write -: name a file."),
        (["data", "convert", "good.jsonl", "-", "--to", "jsonl"], "-: standard output takes no examples"),
        (
            ["predict", "--model", "{model}", "x", "--output", "/proc/x"],
            "cannot write /proc/x: no file can be made in its folder",
        ),
    ],
)
def test_bad_input_to_predict_is_one_sentence(
    arguments: list[str],
    message: str,
    trained: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.jsonl").write_text(GOOD)
    (tmp_path / "good.csv").write_text("some text")
    code, out, err = run(*(argument.format(model=trained) for argument in arguments))
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert re.search(rf"^hf-globalpointer: .*{message}", last), err
    assert "Traceback" not in err


def test_a_package_that_is_missing_is_named(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.jsonl").write_text(GOOD)
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, _, err = run("tune-thresholds", "--model", tmp_path, "--data", tmp_path / "good.jsonl")
    assert code == 1
    assert err.startswith("hf-globalpointer: this takes transformers, which is not installed: pip")
