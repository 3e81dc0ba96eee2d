import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from hf_globalpointer import Example
from hf_globalpointer.cli import main
from hf_globalpointer.cli.common import recognize
from hf_globalpointer.reports.visualization import render, render_page
from launching import start


Run = Callable[..., tuple[int, str, str]]
# By name, which in the package is that of the function.
MODULE = sys.modules["hf_globalpointer.cli.predict"]
# The texts that are recognized together are 64 batches.
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


def interrupted_by_bad_line(command: list[str], data: Path, lines: int, output: Path) -> list[str]:
    """Run on an input whose line after the first so many is no JSON, then mend it; the words of the command."""
    texts = output.with_name(data.name)
    texts.write_text("".join(data.read_text().splitlines(keepends=True)[:lines]) + "{\n")
    words = [*command, "--input", str(texts), "--output", str(output)]
    with pytest.raises(SystemExit):
        main(["predict", *words])
    texts.write_bytes(data.read_bytes())
    return words


@pytest.fixture(scope="module")
def settings(command: list[str], data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run notes beside an output that it has begun."""
    output = tmp_path_factory.mktemp("settings") / "found.jsonl"
    interrupted_by_bad_line(command, data, 3, output)
    return Path(f"{output}.partial.settings").read_bytes()


def leave(folder: Path, content: bytes, settings: bytes) -> Path:
    """An output that a run left unfinished."""
    (folder / "found.jsonl.partial").write_bytes(content)
    (folder / "found.jsonl.partial.settings").write_bytes(settings)
    return folder / "found.jsonl"


def entities(line: str) -> list[tuple[int, int, str]]:
    return [(e["start"], e["end"], e["label"]) for e in json.loads(line)["entities"]]


# --- Interrupting and resuming -------------------------------------------------------------------------------------

STALLING = Path(__file__).with_name("stalling.py")
# Where it stops, at which call, how many lines there are then, and the exit code.
KILLS = {
    signal.SIGINT: ("recognizing", 70, GROUP, 130),
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
        shown = folder.with_suffix(".txt")
        runs[number] = (start(STALLING, where, at, *command, *files, shown=shown), folder, shown)
    ended = {}
    for number, (process, folder, shown) in runs.items():
        partial = folder / "found.jsonl.partial"
        while not partial.exists() or partial.read_bytes().count(b"\n") < KILLS[number][2]:
            assert process.is_alive(), shown.read_text()
            time.sleep(0.05)
        os.kill(process.pid, number)
        process.join()
        ended[number] = (folder, process.exitcode, shown.read_text())
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
    assert (folder / "found.jsonl").read_bytes().startswith(left)
    for name in ("found.jsonl", "page.html"):
        assert without_scores(folder / name) == without_scores(whole / name)


def without_scores(path: Path) -> str:
    """The scores of a text depend, in their last digits, on what is in a batch with it."""
    return re.sub(r"0\.\d+", "0.", path.read_text(encoding="utf-8"))


def cuts(content: bytes) -> Iterator[int]:
    """Sizes that a file may have been left with: nothing, pieces of lines, complete lines, all."""
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    yield from (0, 1, ends[0] - 1, ends[0], ends[0] + 1, ends[8], ends[GROUP - 1] + 30, len(content) - 1, len(content))


@pytest.mark.parametrize("batch_size", [1, BATCH_SIZE, 64])
def test_complete_lines_stay_wherever_a_run_was_cut(
    batch_size: int, command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    expected = (whole / "found.jsonl").read_bytes()
    for size in cuts(expected):
        output = leave(tmp_path, expected[:size], settings)
        code, _, err = run(*command, "--output", output, "--resume", "--batch-size", batch_size)
        assert code == 0
        assert without_scores(output) == without_scores(whole / "found.jsonl")
        assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]
        lines = expected[:size].count(b"\n")
        assert output.read_bytes().startswith(b"".join(expected.splitlines(keepends=True)[:lines]))
        assert (f"Going on after {lines} lines of {output}.partial.\n" in err) == (lines > 0)
        output.unlink()


def test_only_the_texts_without_a_line_are_recognized(
    command: list[str], data: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = interrupted_by_bad_line(command, data, 36, tmp_path / "found.jsonl")
    seen = []

    def noting(pipe: Any, examples: Iterator[Example], *arguments: Any, **options: Any) -> Any:
        return recognize(pipe, (seen.append(e.text) or e for e in examples), *arguments, **options)

    monkeypatch.setattr(MODULE, "recognize", noting)
    assert run(*words, "--resume")[0] == 0
    assert seen == [json.loads(line)["text"] for line in data.read_text().splitlines()[36:]]


def test_resume_without_anything_to_resume_starts(command: list[str], whole: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "found.jsonl"
    assert run(*command, "--output", output, "--resume")[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


def test_what_is_whole_is_neither_resumed_nor_lost(command: list[str], whole: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "found.jsonl"
    output.write_bytes(b"old\n")
    code, _, err = run(*command, "--output", output, "--resume")
    assert (code, err) == (0, f"{output} is complete; to write it anew, leave out --resume.\n")
    assert output.read_bytes() == b"old\n"
    assert run(*command, "--output", output)[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


def test_an_empty_partial_file_is_in_nobodys_way(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    output = leave(tmp_path, b"", settings)
    assert run(*command, "--output", output)[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


def test_the_beginning_of_a_first_line_is_in_nobodys_way(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    output = leave(tmp_path, b'{"te', settings)
    assert run(*command, "--output", output)[0] == 0
    assert output.read_bytes() == (whole / "found.jsonl").read_bytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(143)])
def test_an_interrupt_before_the_first_line_leaves_nothing(
    error: BaseException, command: list[str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise error

    monkeypatch.setattr(MODULE, "_record", interrupt)
    _, out, err = run(*command, "--output", tmp_path / "found.jsonl")
    assert out == ""
    assert "hf-globalpointer: interrupted." in err.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_no_run_wrote_is_refused_and_kept(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    first, second = (whole / "found.jsonl").read_bytes().splitlines(keepends=True)[:2]
    left = first + b"\0" * 30 + b"\n" + second
    output = leave(tmp_path, left, settings)
    code, _, err = run(*command, "--output", output, "--resume")
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith(f"hf-globalpointer: {output}.partial:2 is no JSON (")
    assert last.endswith(f"); remove {output}.partial to start anew.")
    assert (tmp_path / "found.jsonl.partial").read_bytes() == left
    assert not output.exists()


def test_another_model_input_or_option_is_refused_before_the_model_is_loaded(
    command: list[str], data: Path, tmp_path: Path, run: Run
) -> None:
    output, other = tmp_path / "found.jsonl", tmp_path / "other.jsonl"
    other.write_bytes(data.read_bytes())
    thresholds = ["--threshold", "0.6", "--threshold", "place=0.7"]
    words = interrupted_by_bad_line([*command, *thresholds], data, GROUP + 4, output)
    left = (tmp_path / "found.jsonl.partial").read_bytes()
    assert left.count(b"\n") >= GROUP
    for option, value in [
        *[("--model", "nowhere"), ("--input", other), ("--threshold", "place=0.8"), ("--overlap", "flat")],
        *[("--top-k", 3), ("--max-length", 20), ("--stride", 2), ("--word-aligned", None)],
    ]:
        code, _, err = run(*words, option, *([] if value is None else [value]), "--resume")
        assert code == 1
        assert err == (
            f"hf-globalpointer: {option} is not as in {output}.partial.settings; resume with what {output}.partial "
            "was begun with, or remove it to start anew.\n"
        )
        assert (tmp_path / "found.jsonl.partial").read_bytes() == left
    # The input may be mended where it has not been read yet, and the batch size may be another.
    assert run(*words, "--batch-size", 1, "--resume")[0] == 0
    assert output.read_bytes().startswith(left)
    assert output.read_bytes().count(b"\n") == TEXTS


def test_an_input_with_fewer_texts_than_lines_is_refused(
    command: list[str], data: Path, tmp_path: Path, run: Run
) -> None:
    words = interrupted_by_bad_line(command, data, 6, tmp_path / "found.jsonl")
    texts = tmp_path / data.name
    texts.write_text("".join(data.read_text().splitlines(keepends=True)[:4]))
    code, _, err = run(*words, "--resume")
    assert code == 1
    assert f"{texts} has 4 texts, fewer than the 6 lines of an interrupted run; mend it." in err
    assert (tmp_path / "found.jsonl.partial").read_bytes().count(b"\n") == 6


def test_other_texts_under_the_same_name_are_refused(command: list[str], data: Path, tmp_path: Path, run: Run) -> None:
    words = interrupted_by_bad_line(command, data, 6, tmp_path / "found.jsonl")
    partial = tmp_path / "found.jsonl.partial"
    left = partial.read_bytes()
    texts = tmp_path / data.name
    lines = data.read_text(encoding="utf-8").splitlines(keepends=True)
    texts.write_text("".join([*lines[:3], '{"text": "another"}\n', *lines[4:]]), encoding="utf-8")
    code, _, err = run(*words, "--resume")
    assert code == 1
    assert f"{partial}:4 is not of text 4 of {texts}; resume with the texts that the run was begun with" in err
    assert partial.read_bytes() == left


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_settings_that_cannot_be_read_are_one_sentence(
    content: bytes | None, command: list[str], whole: Path, tmp_path: Path, run: Run
) -> None:
    output = leave(tmp_path, (whole / "found.jsonl").read_bytes(), content or b"")
    settings = Path(f"{output}.partial.settings")
    if content is None:
        settings.unlink()
    code, _, err = run(*command, "--output", output, "--resume")
    assert code == 1
    assert err.startswith(f"hf-globalpointer: {settings} cannot be read (")
    assert err.endswith(f"); remove {output}.partial to start anew.\n")


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


# --- What is shown -------------------------------------------------------------------------------------------------


def test_standard_error_tells_progress_and_sums_up(command: list[str], tmp_path: Path, run: Run) -> None:
    output, page = tmp_path / "found.jsonl", tmp_path / "page.html"
    code, out, err = run(*command, "--output", output, "--html", page)
    assert (code, out) == (0, "")
    *_, bar, summary = err.splitlines()
    assert re.fullmatch(rf"Recognizing .* {TEXTS}/{TEXTS} texts, \d+\.\d texts/s *", bar)
    counts = Counter(e["label"] for line in output.read_text().splitlines() for e in json.loads(line)["entities"])
    types = ", ".join(f"{label} {count}" for label, count in counts.most_common())
    assert re.fullmatch(
        rf"texts: {TEXTS}, entities: {counts.total()} \({types}\), seconds: \d+\.\d; written: {output}, {page}\.",
        summary,
    )


def test_a_resumed_run_sums_up_the_whole_file(
    command: list[str], whole: Path, settings: bytes, tmp_path: Path, run: Run
) -> None:
    content = (whole / "found.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    output = leave(tmp_path, b"".join(lines[:101]), settings)
    code, _, err = run(*command, "--output", output, "--resume")
    assert code == 0
    *_, bar, summary = err.splitlines()
    assert f" {TEXTS - 101}/{TEXTS - 101} texts, " in bar
    assert summary.startswith(f"texts: {TEXTS}, entities: {content.count(b'score')} (")


def test_lines_on_standard_output_are_nothing_but_records(checkpoint: Path, run: Run) -> None:
    code, out, err = run("--model", checkpoint, "ab", "")
    assert code == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["ab", ""]
    assert "2/2 texts, " in err
    assert re.fullmatch(r"texts: 2, entities: \d+ \(.*\), seconds: \d+\.\d\.", err.splitlines()[-1])


def test_a_terminal_shows_lines_without_a_bar(checkpoint: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("--model", checkpoint, "ab", "cd")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "Recognizing" not in err
    assert err.splitlines()[-1].startswith("texts: 2, ")


# --- Input ---------------------------------------------------------------------------------------------------------


def test_fields_of_records_are_kept_in_their_order(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    records = [
        {"meta": {"b": [1, None], "a": 0.5}, "id": 7, "text": "ab", "source": "x", "label": ["good"]},
        {"text": "c", "entities": [], "data": {}, "id": None, "n": float("nan")},
        {"text": "d"},
    ]
    texts, output = tmp_path / "texts.jsonl", tmp_path / "found.jsonl"
    texts.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert run("--model", checkpoint, "--input", texts, "--output", output)[0] == 0
    found = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert [list(record) for record in found] == [
        ["meta", "id", "source", "label", "text", "entities"],
        ["data", "id", "n", "text", "entities"],
        ["text", "entities"],
    ]
    for record, given in zip(found, records, strict=True):
        assert json.dumps({**record, "entities": 0}, sort_keys=True) == json.dumps(
            {**given, "entities": 0}, sort_keys=True
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "none.txt: no such file; check the path."),
        ("a.txt", b"\xe9\n", "a.txt:1: not UTF-8 ("),
        ("a.md", b"", "a.md: the file holds no examples."),
        ("a.jsonl", b'\n{"id": 1}\n', 'a.jsonl:2: field "text" is missing;'),
        ("a.csv", b"id,body\n1,a\n", "a.csv:1: no column is named text; the columns are id, body."),
        ("a.txt.gz", b"a\n", "a.txt.gz: not a complete gzip file ("),
        ("folder", None, "folder: a folder; name a file in it."),
    ],
)
def test_bad_input_is_noticed_before_the_model_is_loaded(
    name: str, content: bytes | None, message: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "folder").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run("--model", "nowhere", "--input", tmp_path / name)
    assert (code, out) == (1, "")
    assert err.startswith(f"hf-globalpointer: {tmp_path}/{message}")


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
    recognize = pipeline("global-pointer-ner", model=str(checkpoint))
    texts = [TEXT, TEXT * 4]
    code, out, _ = run("--model", checkpoint, *arguments, *texts)
    assert code == 0
    expected = [[(e["start"], e["end"], e["entity_group"]) for e in recognize(text, **options)] for text in texts]
    assert [entities(line) for line in out.splitlines()] == expected
    default = [[(e["start"], e["end"], e["entity_group"]) for e in recognize(text)] for text in texts]
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


def test_a_text_that_is_the_name_of_a_file_is_pointed_out(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.txt").write_text("Ada")
    code, out, err = run("--model", checkpoint, tmp_path / "a.txt", "東" * 250)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert f"give --input {tmp_path / 'a.txt'}." in err
    assert err.count("is taken as a text") == 1


# --- The page ------------------------------------------------------------------------------------------------------


def test_page_shows_the_lines(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    page = tmp_path / "page.html"
    code, out, _ = run("--model", checkpoint, "--html", page, TEXT, "", "a <b> & \ud800", TEXT[::-1])
    assert code == 0
    fragments, labels = [], ["date", "person", "place"]
    for line in out.splitlines():
        record = json.loads(line)
        found = [
            {"entity_group": e["label"], "score": e["score"], "word": "", "start": e["start"], "end": e["end"]}
            for e in record["entities"]
        ]
        fragments.append(render(record["text"], found, labels))
    assert len(fragments) == 4
    assert any("gp-segment" in fragment for fragment in fragments)
    assert page.read_text(encoding="utf-8") == render_page(fragments, "Entities", labels)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_page_names_the_input(data: Path, whole: Path) -> None:
    html = (whole / "page.html").read_text(encoding="utf-8")
    assert f"<title>Entities of {data.name}</title>" in html
    assert html.count('class="gp-text"') == TEXTS


def test_page_that_cannot_be_written_is_found_before_the_work(command: list[str], tmp_path: Path, run: Run) -> None:
    page = tmp_path / "nowhere" / "page.html"
    code, out, err = run(*command, "--html", page)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"hf-globalpointer: cannot write {page}: there is no such folder to write into."
