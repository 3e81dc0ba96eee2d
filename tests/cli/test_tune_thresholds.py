import importlib
import json
import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
from transformers import pipeline

from conftest import LABELS, Run, examples_for, make_pipeline
from hf_globalpointer import Entity, Example, best_thresholds, calibrate, read_examples, score_predictions
from hf_globalpointer.evaluation import thresholds
from hf_globalpointer.evaluation.metrics import SpanCounts, SpanMetrics
from hf_globalpointer.evaluation.threshold_curves import plot_curves
from hf_globalpointer.evaluation.thresholds import FOLDS, Candidates, collect_candidates


# The module: in the package, its name is that of the function.
COMMAND = importlib.import_module("hf_globalpointer.cli.tune_thresholds")
LABELS_ODD = ["$x^$", "[/person]", "地名"]


@pytest.fixture
def tune(run: Run) -> Run:
    """Run `tune-thresholds`."""
    return partial(run, "tune-thresholds")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint and development data."""
    folder = tmp_path_factory.mktemp("made")
    pipe = make_pipeline()
    records = [
        {"text": e.text, "entities": [{"start": x.start, "end": x.end, "label": x.label} for x in e.entities]}
        for e in examples_for(pipe, 12)
    ]
    (folder / "[dev].jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    pipe.save_pretrained(folder / "model")
    return folder


@pytest.fixture
def checkpoint(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint folder of its own, and development data."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "model", tmp_path / "[dev].jsonl"


def f1_of(out: str, name: str) -> list[float]:
    """The F1 of a type, micro or macro in a table of `tune-thresholds`: before and after."""
    lines = out.splitlines()
    index = next(index for index, line in enumerate(lines) if line.startswith(f"│ {name} "))
    return [float(line.split()[-2]) for line in lines[index : index + 2]]


def test_the_command_changes_thresholds_and_calibration_of_a_checkpoint_and_nothing_else(
    checkpoint: tuple[Path, Path], run: Run, tune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    hold_out(8, monkeypatch)
    code, out, err = tune("--model", model, "--data", data)
    assert (code, "[dev].jsonl" in out) == (0, True), err
    new = {path.name: path.read_bytes() for path in model.iterdir()}
    assert new.keys() - old.keys() == {"thresholds.json", "curve.json"}
    assert {name for name in old if old[name] != new[name]} == {"config.json"}
    config, results = json.loads(new["config.json"]), json.loads(new["thresholds.json"])
    assert config["thresholds"] == results["after"]["thresholds"]
    assert list(config["thresholds"]) == LABELS
    assert list(config["calibration"]) == LABELS
    changed = {"thresholds": None, "calibration": None}
    assert config | changed == json.loads(old["config.json"]) | changed
    assert list(config) == list(dict.fromkeys([*json.loads(old["config.json"]), *changed]))

    before, after = f1_of(out, "micro")
    assert before < after
    assert "Other thresholds pay: those chosen on nine tenths of the data are better on the other tenth in 8 of" in err
    assert [round(results[name]["metrics"]["f1"], 4) for name in ("before", "after")] == [before, after]
    evaluated = run("evaluate", "--model", model, "--data", data)[1]
    assert re.search(rf"│ micro .* {after:.4f} ", evaluated)
    curves = json.loads(new["curve.json"])
    assert list(curves["labels"]) == LABELS
    assert max(curves["micro"]["f1"]) <= results["after"]["metrics"]["f1"]

    errors = [results[name]["expected_calibration_error"] for name in ("before", "after")]
    assert errors[1] < errors[0] / 2
    assert f"on these data: {errors[0]:.4f} before, {errors[1]:.4f} after." in err
    assert run("evaluate", "--model", model, "--data", data, "--report", model.parent / "report")[0] == 0
    report = json.loads((model.parent / "report" / "report.json").read_text())
    assert report["expected_calibration_error"] == pytest.approx(errors[1])

    # What it has found is found again, from a calibrated model too.
    assert tune("--model", model, "--data", data)[0] == 0
    again = json.loads((model / "config.json").read_text())
    assert again["thresholds"] == pytest.approx(config["thresholds"])
    for label, numbers in config["calibration"].items():
        assert again["calibration"][label] == pytest.approx(numbers)


def test_a_model_whose_labels_compete_predicts_the_same_when_calibrated(
    checkpoint: tuple[Path, Path], tune: Run
) -> None:
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"overlap": "flat"}
    (model / "config.json").write_text(json.dumps(config))
    code, out, err = tune("--model", model, "--data", data, "--objective", "keep")
    assert (code, "Nothing was written" in err) == (0, False)
    assert json.loads((model / "config.json").read_text())["calibration"]
    before, after = f1_of(out, "micro")
    assert before == after


def test_code_and_card_go_with_the_calibration(checkpoint: tuple[Path, Path], tune: Run) -> None:
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"auto_map": {"AutoConfig": "a.B"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "README.md").write_text(
        "- The score of an entity is for ranking and thresholds; it is no calibrated probability.\n"
    )
    assert tune("--model", model, "--data", data)[0] == 0
    assert (model / "span_probabilities.py").is_file()
    card = (model / "README.md").read_text()
    assert card.startswith("- The score of an entity is a probability, calibrated on development data;")
    assert "chosen later, with `hf-globalpointer tune-thresholds`" in card


def test_thresholds_may_be_kept(checkpoint: tuple[Path, Path], tune: Run) -> None:
    model, data = checkpoint
    assert tune("--model", model, "--data", data, "--objective", "keep")[0] == 0
    results = json.loads((model / "thresholds.json").read_text())
    assert results["before"]["metrics"] == results["after"]["metrics"]
    assert results["after"]["expected_calibration_error"] < results["before"]["expected_calibration_error"] / 2


def thresholds_of(out: str) -> dict[str, list[tuple[float, float]]]:
    """Of each type in the table: threshold without calibration and as written, before and after."""
    lines = [[cell.strip() for cell in line.split("│")[1:5]] for line in out.splitlines() if line.startswith("│")]
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return {
        first[0]: [(float(cells[2]), float(cells[3])) for cells in (first, second)]
        for first, second in pairs
        if first[2]
    }


def test_thresholds_of_a_calibrated_checkpoint_are_compared_without_calibration(
    checkpoint: tuple[Path, Path], tune: Run
) -> None:
    model, data = checkpoint
    command = ["--model", model, "--data", data, "--objective", "keep"]
    first = thresholds_of(tune(*command)[1])
    calibration = json.loads((model / "config.json").read_text())["calibration"]
    assert json.loads((model / "thresholds.json").read_text())["before"]["calibration"] is None
    second = thresholds_of(tune(*command)[1])
    # What can put them back.
    assert json.loads((model / "thresholds.json").read_text())["before"]["calibration"] == calibration
    assert set(first) == set(second) == {"date", "person", "place"}
    for label, ((before, written), (after, written_after)) in first.items():
        assert before == after == written == 0.5
        assert written_after != 0.5
        assert second[label][0] == (pytest.approx(0.5, abs=1e-4), written_after)
        assert second[label][1][0] == pytest.approx(0.5, abs=1e-4)


def hold_out(num_better: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have thresholds be better on so many parts that they were not chosen on."""
    found = [SpanMetrics({"date": SpanCounts(int(index < num_better), 1, 1)}) for index in range(FOLDS)]
    monkeypatch.setattr(thresholds, "held_out_metrics", lambda parts, objective: found)


def test_thresholds_that_do_not_hold_on_other_texts_stay(
    checkpoint: tuple[Path, Path], tune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    hold_out(7, monkeypatch)
    code, out, err = tune("--model", model, "--data", data)
    assert code == 0, err
    before, after = f1_of(out, "micro")
    assert before == after
    assert "The thresholds stay" in err
    assert "in 7 of 10 cases; 8 are needed." in err
    assert json.loads((model / "config.json").read_text())["calibration"]


def test_the_objective_and_another_folder_for_the_figures(
    checkpoint: tuple[Path, Path], tune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    hold_out(8, monkeypatch)
    names = {path.name for path in model.iterdir()}
    output = model.parent / "new" / "figures"
    code, out, _ = tune("--model", model, "--data", data, "--output", output, "--objective", "label", "--plot")
    assert code == 0
    assert {path.name for path in model.iterdir()} == names
    assert {path.name for path in output.iterdir()} == {"thresholds.json", "curve.json", "curve.png"}
    assert (output / "curve.png").read_bytes().startswith(b"\x89PNG")
    for name in (*LABELS, "macro"):
        before, after = f1_of(out, name)
        assert before <= after
    examples = list(read_examples(data))
    found = Candidates.merged([collect_candidates(make_pipeline(), examples[fold::FOLDS]) for fold in range(FOLDS)])
    for objective in ("micro", "label"):
        pipe = make_pipeline()
        calibrate(pipe.model.config, found, best_thresholds(found, objective))
        is_written = json.loads((model / "config.json").read_text())["thresholds"] == pipe.model.config.thresholds
        assert is_written == (objective == "label")


def test_labels_are_shown_and_written_letter_by_letter(tmp_path: Path, tune: Run) -> None:
    pipe = make_pipeline(labels=LABELS_ODD)
    pipe.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()), indent=2, ensure_ascii=False), encoding="utf-8")
    data = tmp_path / "dev.jsonl"
    entities = [{"start": 0, "end": 2, "label": label} for label in LABELS_ODD]
    data.write_text(json.dumps({"text": "ab cd", "entities": entities}) + "\n")
    code, out, err = tune("--model", tmp_path / "model", "--data", data)
    assert code == 0, err
    assert all(label in out for label in LABELS_ODD)
    assert config.read_text(encoding="utf-8").count("地名") == 4
    found = collect_candidates(pipe, [Example("ab cd", (Entity(0, 2, "$x^$"),))])
    with pytest.warns(UserWarning, match="missing from font"):
        plot_curves(found, found.thresholds, tmp_path / "curve.svg")
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_a_promise_that_the_pipeline_does_not_keep_is_told_and_nothing_is_written(
    checkpoint: tuple[Path, Path], tune: Run
) -> None:
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"max_spans": 2}
    (model / "config.json").write_text(json.dumps(config))
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    code, out, err = tune("--model", model, "--data", data)
    assert (code, out) == (1, "")
    assert re.search(r"^hf-globalpointer: nothing was written: .* the 2 spans that `max_spans`", err, re.MULTILINE)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == old


def test_a_write_that_fails_leaves_the_configuration_whole(
    checkpoint: tuple[Path, Path], tune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    old = (model / "config.json").read_bytes()
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    code, _, err = tune("--model", model, "--data", data)
    assert (code, err.splitlines()[-1]) == (1, "hf-globalpointer: [Errno 28] No space left on device")
    assert (model / "config.json").read_bytes() == old


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "org/name"], r"org/name is no folder.*hf download org/name --local-dir FOLDER"),
        (["--model", "{model}", "--data", "nowhere.jsonl"], r"nowhere\.jsonl: no such file"),
        (["--model", "."], "holds no config.json"),
        (["--model", "{model}", "--data", "other.jsonl"], "label 'data' is none of the model's labels"),
        (["--model", "{model}", "--output", "other.jsonl"], r"other\.jsonl is a file; name a folder for the output"),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(
    arguments: list[str], message: str, checkpoint: tuple[Path, Path], tune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    monkeypatch.chdir(model.parent)
    Path("other.jsonl").write_text('{"text": "ab", "entities": [{"start": 0, "end": 2, "label": "data"}]}\n')
    monkeypatch.setattr(thresholds, "collect_candidates", None)
    words = [argument.format(model=model) for argument in arguments]
    code, out, err = tune(*words, *(() if "--data" in words else ("--data", data)))
    assert (code, out) == (1, "")
    assert re.search(rf"^hf-globalpointer: .*{message}", err.splitlines()[-1]), err


def test_a_plot_without_matplotlib_is_refused_first_of_all(
    tune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMAND, "find_spec", lambda name: None)
    code, _, err = tune("--model", "nowhere", "--data", tmp_path, "--plot")
    assert (code, err) == (1, "hf-globalpointer: --plot needs matplotlib: pip install 'hf-globalpointer[plot]'\n")


def test_thresholds_that_would_be_worse_are_told_and_not_written(
    checkpoint: tuple[Path, Path], tune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an overlap rule, labels are not independent, so that the search may miss."""
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"overlap": "flat"}
    (model / "config.json").write_text(json.dumps(config))
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    hold_out(8, monkeypatch)
    monkeypatch.setattr(
        thresholds, "best_thresholds", lambda candidates, objective: dict.fromkeys(candidates.per_label, 1 - 1e-9)
    )
    code, out, err = tune("--model", model, "--data", data)
    assert (code, out) == (0, "")
    assert "Nothing was written: F1 is" in err
    assert "overlap rule 'flat'" in " ".join(err.split())
    assert {path.name: path.read_bytes() for path in model.iterdir()} == old


def test_the_command_obeys_the_overlap_rule(checkpoint: tuple[Path, Path], tune: Run) -> None:
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"overlap": "flat"}
    (model / "config.json").write_text(json.dumps(config))
    code, out, err = tune("--model", model, "--data", data)
    assert code == 0, err
    before, after = f1_of(out, "micro")
    assert after >= before
    tuned = json.loads((model / "thresholds.json").read_text())
    pipe = pipeline("global-pointer-ner", model=str(model))
    examples = list(read_examples(data))
    metrics = score_predictions(examples, pipe([example.text for example in examples]), LABELS)
    assert metrics.micro.f1 == pytest.approx(tuned["after"]["metrics"]["f1"])
