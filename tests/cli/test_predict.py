import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transformers import AutoModelForTokenClassification, pipeline

from conftest import make_char_tokenizer, make_model
from hf_globalpointer.cli import main
from hf_globalpointer.visualization import render, render_page


Run = Callable[..., tuple[int, str, str]]
# The texts that are recognised together are 64 batches.
BATCH_SIZE, GROUP, TEXTS = 2, 128, 150


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `predict` in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(["predict", *map(str, arguments)])
        output = capfd.readouterr()
        return int(exit.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model: it finds a little of everything, nested and crossing."""
    folder = tmp_path_factory.mktemp("checkpoint")
    make_model("efficient").save_pretrained(folder)
    make_char_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of 0 to 30 letters and one of two windows, some alike, half with ids, one with a lone surrogate."""
    generator = random.Random(0)
    records = []
    for index in range(TEXTS):
        text = "".join(generator.choices("abcdefgh é\U0001f600", k=generator.randint(0, 30)))
        records.append({"id": f"n{index}", "text": text} if index % 2 else {"text": text})
    records[7]["text"] = "ab \ud800 cd"
    records[8]["text"] = "abcd " * 15
    path = tmp_path_factory.mktemp("data") / "texts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def command(checkpoint: Path, data: Path) -> list[str]:
    return ["--model", str(checkpoint), "--input", str(data), "--batch-size", str(BATCH_SIZE)]


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the lines and the page of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.raises(SystemExit) as exit:
        main(["predict", *command, "--output", str(folder / "found.jsonl"), "--html", str(folder / "page.html")])
    assert not exit.value.code
    assert {path.name for path in folder.iterdir()} == {"found.jsonl", "page.html"}
    assert len((folder / "found.jsonl").read_bytes().splitlines()) == TEXTS
    return folder


@pytest.fixture(scope="module")
def settings(command: list[str], data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run notes beside an output that it has begun."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "broken.jsonl").write_text("".join(data.read_text().splitlines(keepends=True)[:3]) + "{\n")
    with pytest.raises(SystemExit):
        main(["predict", *command, "--input", str(folder / "broken.jsonl"), "--output", str(folder / "found.jsonl")])
    return (folder / "found.jsonl.partial.settings").read_bytes()


def leave(folder: Path, content: bytes, settings: bytes) -> Path:
    """An output that a run left unfinished."""
    (folder / "found.jsonl.partial").write_bytes(content)
    (folder / "found.jsonl.partial.settings").write_bytes(settings)
    return folder / "found.jsonl"


def entities(line: str) -> list[tuple[int, int, str]]:
    return [(e["start"], e["end"], e["label"]) for e in json.loads(line)["entities"]]


# --- Interrupting and resuming -------------------------------------------------------------------------------------

# Runs the command, and stops for good at one call of a function.
STALLING = """
import signal, sys, time
from itertools import count
from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.cli import main

def stall(owner, name, at):
    function, calls = getattr(owner, name), count(1)
    def stalled(*args, **kwargs):
        if next(calls) == at:
            time.sleep(600)
        return function(*args, **kwargs)
    setattr(owner, name, stalled)

# Ignored where the tests run in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)
where, at, *arguments = sys.argv[1:]
if where == "writing":
    stall(sys.modules["hf_globalpointer.cli.predict"], "_record", int(at))
else:
    stall(GlobalPointerNerPipeline, "_forward", int(at))
main(["predict", *arguments])
"""
# Where it stops, at which call, how many lines there are then, and the exit code.
KILLS = {
    signal.SIGINT: ("recognising", 70, GROUP, 130),
    signal.SIGTERM: ("writing", 41, 40, 143),
    signal.SIGKILL: ("writing", GROUP + 11, GROUP + 10, -9),
}


@pytest.fixture(scope="module")
def killed(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, int, str]]:
    """For each signal, the folder, exit code and standard error of a run that it ended; all run beside each other."""
    runs = {}
    for number, (where, at, _, _) in KILLS.items():
        folder = tmp_path_factory.mktemp(number.name)
        files = ["--output", str(folder / "found.jsonl"), "--html", str(folder / "page.html")]
        process = subprocess.Popen(
            [sys.executable, "-c", STALLING, where, str(at), *command, *files],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        runs[number] = (process, folder)
    ended = {}
    for number, (process, folder) in runs.items():
        partial = folder / "found.jsonl.partial"
        give_up = time.monotonic() + 300
        while not partial.exists() or partial.read_bytes().count(b"\n") < KILLS[number][2]:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < give_up
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        ended[number] = (folder, process.returncode, err)
    return ended


@pytest.mark.parametrize("number", KILLS)
def test_a_killed_run_leaves_whole_lines_and_is_resumed(
    number: signal.Signals,
    killed: dict[int, tuple[Path, int, str]],
    command: list[str],
    whole: Path,
    run: Run,
) -> None:
    folder, code, err = killed[number]
    _, _, lines, expected_code = KILLS[number]
    left = (folder / "found.jsonl.partial").read_bytes()
    assert code == expected_code
    assert "Traceback" not in err
    sentence = "hf-globalpointer: interrupted; the same command with --resume goes on from here."
    assert (err.splitlines()[-1] == sentence) == (number != signal.SIGKILL)
    assert left.endswith(b"}\n")
    assert left.count(b"\n") == lines
    assert (whole / "found.jsonl").read_bytes().startswith(left)
    assert not (folder / "found.jsonl").exists()
    # The page has come as far as the lines: neither waits in memory.
    assert lines - 2 <= (folder / "page.html.partial").read_text().count('class="gp-text"') <= lines

    files = ["--output", folder / "found.jsonl", "--html", folder / "page.html"]
    code, _, err = run(*command, *files)
    assert code == 1
    assert "found.jsonl.partial holds what an interrupted run left; go on from there with --resume" in err
    code, _, err = run(*command[:2], "ab", *files)
    assert code == 1
    assert "found.jsonl.partial holds what an interrupted run left; remove it to start anew." in err
    assert (folder / "found.jsonl.partial").read_bytes() == left
    assert run(*command, *files, "--resume")[0] == 0
    assert {path.name for path in folder.iterdir()} == {"found.jsonl", "page.html"}
    for name in ("found.jsonl", "page.html"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def cuts(content: bytes) -> Iterator[int]:
    """Sizes that a file may have been left with: nothing, pieces of lines, whole lines, whole groups, all."""
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    for lines in (1, GROUP - 1, GROUP, GROUP + 1, TEXTS):
        yield ends[lines - 1]
    yield from (0, 1, ends[0] - 1, ends[0] + 1, ends[GROUP - 1] - 1, ends[GROUP - 1] + 30, len(content) - 1)


def test_wherever_a_run_was_cut_the_file_comes_out_the_same(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    expected = (whole / "found.jsonl").read_bytes()
    for size in cuts(expected):
        output = leave(tmp_path, expected[:size], settings)
        code, _, err = run(*command, "--output", output, "--resume")
        assert code == 0
        assert output.read_bytes() == expected
        assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]
        lines = expected[:size].count(b"\n")
        # The last group is whole with the last text.
        lines = lines if lines == TEXTS else lines // GROUP * GROUP
        assert (f"Going on after {lines} lines of {output}.partial.\n" in err) == (size > 0)
        output.unlink()


def test_the_lines_of_whole_groups_stay_and_others_are_made_anew(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    # In the last digits, scores depend on what else is in a batch: those of a group that is not whole may be others.
    lines = (whole / "found.jsonl").read_bytes().splitlines(keepends=True)
    changed = b"".join(line.replace(b'"score": 0.', b'"score": 0.0') for line in lines[: GROUP + 9])
    output = leave(tmp_path, changed, settings)
    left = (tmp_path / "found.jsonl.partial").read_bytes().splitlines(keepends=True)
    assert left[GROUP:] != lines[GROUP : GROUP + 9]
    assert run(*command, "--output", output, "--resume")[0] == 0
    assert output.read_bytes().splitlines(keepends=True) == left[:GROUP] + lines[GROUP:]


def test_resume_without_anything_to_resume_starts(command: list[str], whole: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "found.jsonl"
    assert run(*command, "--output", output, "--resume")[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


def test_what_is_whole_is_neither_resumed_nor_lost(command: list[str], whole: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "found.jsonl"
    output.write_bytes(b"old\n")
    code, _, err = run(*command, "--output", output, "--resume")
    assert (code, err) == (0, f"{output} is whole; to write it anew, leave out --resume.\n")
    assert output.read_bytes() == b"old\n"
    assert run(*command, "--output", output)[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


def test_an_empty_partial_file_is_in_nobodys_way(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    output = leave(tmp_path, b"", settings)
    assert run(*command, "--output", output)[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


def swapped(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def with_other_id(lines: list[str]) -> list[str]:
    return [line.replace('"n3"', '"n4"') for line in lines]


def without_one(lines: list[str]) -> list[str]:
    return lines[1:]


def with_too_few(lines: list[str]) -> list[str]:
    return lines[:9]


@pytest.mark.parametrize(("change", "line"), [(swapped, 3), (with_other_id, 4), (without_one, 1), (with_too_few, 10)])
def test_lines_of_another_input_are_refused_and_kept(
    change: Callable[[list[str]], list[str]],
    line: int,
    command: list[str],
    data: Path,
    whole: Path,
    settings: bytes,
    tmp_path: Path,
    run: Run,
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(change(data.read_text().splitlines(keepends=True))))
    left = b"".join((whole / "found.jsonl").read_bytes().splitlines(keepends=True)[:20]) + b'{"te'
    output = leave(tmp_path, left, settings)
    code, _, err = run(*command, "--input", other, "--output", output, "--resume")
    assert code == 1
    assert err == (
        f"hf-globalpointer: {output}.partial:{line} is not of the text that {other} has there; resume with what "
        f"{output}.partial was begun with, or remove it to start anew.\n"
    )
    assert (tmp_path / "found.jsonl.partial").read_bytes() == left
    assert not output.exists()


@pytest.mark.parametrize("garbage", [b"\0" * 30 + b"\n", b"[]\n", b"7\n", b"\xff\n", b"\n", b'{"entities": []}\n'])
def test_lines_that_no_run_wrote_are_refused_and_kept(
    garbage: bytes, command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    first, second = (whole / "found.jsonl").read_bytes().splitlines(keepends=True)[:2]
    output = leave(tmp_path, first + garbage + second, settings)
    code, _, err = run(*command, "--output", output, "--resume")
    assert code == 1
    assert f"{output}.partial:2 is not of the text" in err
    assert (tmp_path / "found.jsonl.partial").read_bytes() == first + garbage + second


def test_other_options_are_refused(command: list[str], data: Path, tmp_path: Path, run: Run) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("".join(data.read_text().splitlines(keepends=True)[: GROUP + 4]) + "{\n")
    output = tmp_path / "found.jsonl"
    begin = [*command, "--input", broken, "--output", output, "--threshold", "0.6", "--threshold", "place=0.7"]
    assert run(*begin)[0] == 1
    left = (tmp_path / "found.jsonl.partial").read_bytes()
    assert left.count(b"\n") >= GROUP
    for option, value in [("--threshold", "place=0.8"), ("--overlap", "flat"), ("--top-k", 3), ("--stride", 2)]:
        code, _, err = run(*begin, option, value, "--resume")
        assert code == 1
        message = f"hf-globalpointer: {option} is not as in {output}.partial.settings; resume with what "
        assert err.splitlines()[-1].startswith(message)
        assert (tmp_path / "found.jsonl.partial").read_bytes() == left
    # The input may be mended where it has not been read yet, and the batch size may be another.
    assert run(*begin, "--input", data, "--batch-size", 1, "--resume")[0] == 0
    assert output.read_bytes().splitlines()[:GROUP] == left.splitlines()[:GROUP]
    assert output.read_bytes().count(b"\n") == TEXTS


@pytest.mark.parametrize("change", ["weights", "thresholds", "settings"])
def test_another_model_in_the_same_place_is_refused(
    change: str, checkpoint: Path, command: list[str], data: Path, tmp_path: Path, run: Run
) -> None:
    model = tmp_path / "model"
    shutil.copytree(checkpoint, model)
    broken, output = tmp_path / "broken.jsonl", tmp_path / "found.jsonl"
    broken.write_text("".join(data.read_text().splitlines(keepends=True)[: GROUP + 4]) + "{\n")
    words = [*command[2:], "--model", model, "--output", output]
    assert run(*words, "--input", broken)[0] == 1
    settings = tmp_path / "found.jsonl.partial.settings"
    if change == "weights":
        network = AutoModelForTokenClassification.from_pretrained(model)
        network.classifier.dense_1.bias.data += 0.1
        network.save_pretrained(model)
    elif change == "thresholds":
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, "thresholds": {"date": 0.7}}))
    else:
        settings.write_text("")
    code, _, err = run(*words, "--resume")
    assert code == 1
    what = f"{settings}, the settings" if change == "settings" else f"--model is not as in {settings}; resume"
    assert err.splitlines()[-1].startswith(f"hf-globalpointer: {what}")


def test_a_long_run_of_long_texts_is_resumed_before_many_are_done(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    records = [json.dumps({"text": "abcd " * 200}) + "\n" for _ in range(40)]
    broken, texts, output = (tmp_path / name for name in ("broken.jsonl", "texts.jsonl", "found.jsonl"))
    broken.write_text("".join(records[:36]) + "{\n")
    texts.write_text("".join(records))
    words = ["--model", checkpoint, "--batch-size", BATCH_SIZE, "--output", output, "--top-k", 3]
    assert run(*words, "--input", broken)[0] == 1
    code, _, err = run(*words, "--input", texts, "--resume")
    assert code == 0
    # As many characters as the texts of a group have at most.
    assert f"Going on after 33 lines of {output}.partial." in err
    assert len(output.read_text().splitlines()) == 40


def test_output_and_page_are_two_files(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "x"
    code, _, err = run("--model", checkpoint, "ab", "--output", path, "--html", path)
    assert (code, err) == (1, f"hf-globalpointer: --output and --html are both {path}; name two files.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", [["--output"], ["--input"], ["--input", "--output"]])
def test_resume_needs_input_and_output(missing: list[str], command: list[str], tmp_path: Path, run: Run) -> None:
    words = [*command, "--output", str(tmp_path / "x"), "--resume"]
    for option in missing:
        del words[words.index(option) : words.index(option) + 2]
    code, out, err = run(*words, *(["ab"] if "--input" in missing else []))
    assert (code, out, err) == (1, "", "hf-globalpointer: --resume needs --input and --output.\n")


# --- Options -------------------------------------------------------------------------------------------------------

TEXT = "abcdefgh abc hgfedc b"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--threshold", "0.7"], {"threshold": 0.7}),
        (["--threshold", "place=0.7"], {"threshold": {"place": 0.7}}),
        (
            ["--threshold", "place=0.9", "--threshold", "0.6", "--threshold", "date=0.55"],
            {"threshold": {"place": 0.9, "person": 0.6, "date": 0.55}},
        ),
        (["--overlap", "flat"], {"overlap": "flat"}),
        (["--overlap", "nested"], {"overlap": "nested"}),
        (["--top-k", "2"], {"top_k": 2}),
        (["--word-aligned"], {"word_aligned": True}),
        (["--no-word-aligned"], {"word_aligned": False}),
        (["--stride", "0"], {"stride": 0}),
    ],
)
def test_options_are_those_of_the_pipeline(
    arguments: list[str], options: dict[str, object], checkpoint: Path, run: Run
) -> None:
    recognise = pipeline("global-pointer-ner", model=str(checkpoint))
    texts = [TEXT, TEXT * 4]
    code, out, _ = run("--model", checkpoint, *arguments, *texts)
    assert code == 0
    expected = [[(e["start"], e["end"], e["entity_group"]) for e in recognise(text, **options)] for text in texts]
    assert [entities(line) for line in out.splitlines()] == expected
    default = [[(e["start"], e["end"], e["entity_group"]) for e in recognise(text)] for text in texts]
    assert (expected == default) == (options in ({}, {"word_aligned": False}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "1.5"], "--threshold must be between 0 and 1, got 1.5."),
        (["--threshold", "nan"], "--threshold must be between 0 and 1, got nan."),
        (["--threshold", "place=0"], "--threshold must be between 0 and 1, got place=0."),
        (["--threshold", "place"], "--threshold must be a number, or LABEL=number, got place."),
        (["--threshold", "place="], "--threshold must be a number, or LABEL=number, got place=."),
        (["--threshold", "plaice=0.5"], "Threshold for 'plaice', which is none of ['date', 'person', 'place']."),
        (["--stride", "38"], "`stride` must be in 0..37 for windows of 40 tokens, got 38."),
    ],
)
def test_a_value_that_an_option_cannot_have_is_one_sentence(
    arguments: list[str], message: str, checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    output = tmp_path / "found.jsonl"
    code, out, err = run("--model", checkpoint, "ab", "--output", output, *arguments)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"hf-globalpointer: {message}"
    assert list(tmp_path.iterdir()) == []


# --- The page ------------------------------------------------------------------------------------------------------


def test_page_shows_the_lines(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    page = tmp_path / "page.html"
    code, out, _ = run("--model", checkpoint, "--html", page, TEXT, "", "a <b> & \ud800", TEXT[::-1])
    assert code == 0
    fragments = []
    for line in out.splitlines():
        record = json.loads(line)
        found = [
            {"entity_group": e["label"], "score": e["score"], "word": "", "start": e["start"], "end": e["end"]}
            for e in record["entities"]
        ]
        fragments.append(render(record["text"], found, ["date", "person", "place"]))
    assert len(fragments) == 4
    assert any("gp-entity" in fragment for fragment in fragments)
    assert page.read_text(encoding="utf-8") == render_page(fragments, "Entities")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_page_names_the_input(data: Path, whole: Path) -> None:
    html = (whole / "page.html").read_text(encoding="utf-8")
    assert f"<title>Entities of {data.name}</title>" in html
    assert html.count('class="gp-text"') == TEXTS


def test_page_that_cannot_be_written_is_found_before_the_work(command: list[str], tmp_path: Path, run: Run) -> None:
    page = tmp_path / "nowhere" / "page.html"
    code, out, err = run(*command, "--html", page)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"hf-globalpointer: cannot write {page}: No such file or directory."
