import importlib
import json
import math
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from transformers import pipeline

from conftest import LABELS, make_char_tokenizer, make_model
from hf_globalpointer import (
    Entity,
    Example,
    GlobalPointerNerPipeline,
    SpanMetrics,
    SpanScores,
    read_examples,
    score_predictions,
)
from hf_globalpointer.cli import main
from hf_globalpointer.evaluation import thresholds
from hf_globalpointer.evaluation.threshold_curves import plot_curves, precision_recall_curve
from hf_globalpointer.evaluation.thresholds import Candidates, LabelCandidates, best_thresholds, collect_candidates


PRESENT = [0.002, 0.3, 0.5, 0.9]


def sigmoid(scores: Sequence[float], score_threshold: float = 0.0) -> np.ndarray:
    """Probabilities as the pipeline computes them, from scores in float32."""
    return (torch.tensor(scores, dtype=torch.float32).double() - score_threshold).sigmoid().numpy()


@st.composite
def label_candidates(draw: st.DrawFn, most: int = 6) -> LabelCandidates:
    """A few candidates, many of them with the same score, and gold entities that are none."""
    present = draw(st.sampled_from(PRESENT))
    # Scores go down to the floor, or to the present threshold if that is lower.
    lowest = -6 if present < 0.01 else -4
    rows = draw(st.lists(st.tuples(st.integers(lowest, 12), st.booleans()), max_size=most))
    is_gold = np.array([right for _, right in rows], bool)
    gold = int(is_gold.sum()) + draw(st.integers(0, 2))
    return LabelCandidates(sigmoid([score for score, _ in rows]), is_gold, gold, present)


def candidates(labels: int) -> st.SearchStrategy[Candidates]:
    some = st.lists(label_candidates(), min_size=1, max_size=labels)
    return some.map(lambda found: Candidates({f"label {index}": one for index, one in enumerate(found)}))


# --- the search


def every_cut(one: LabelCandidates) -> Iterator[tuple[int, int]]:
    """How many candidates are predicted, and how many of them are right: at present, and at every cut there is."""
    sets = [one.scores > one.threshold]
    if one.gold:
        sets += [one.scores >= least for least in (*one.scores, 1.0)]
    for predicted in sets:
        yield int(predicted.sum()), int((predicted & one.is_gold).sum())


def f1(predicted: int, correct: int, gold: int) -> Fraction:
    return Fraction(2 * correct, predicted + gold) if predicted + gold else Fraction(0)


@settings(max_examples=200)
@given(found=candidates(3))
def test_micro_f1_is_the_highest_of_all_combinations_of_cuts(found: Candidates) -> None:
    labels = found.per_label.values()
    gold = sum(one.gold for one in labels)
    best = max(f1(sum(p for p, _ in cuts), sum(c for _, c in cuts), gold) for cuts in product(*map(every_cut, labels)))
    reached = found.metrics(best_thresholds(found, "micro")).micro
    assert f1(reached.predicted, reached.correct, reached.gold) == best


@settings(max_examples=200)
@given(found=candidates(2))
def test_the_f1_of_each_label_is_the_highest_of_all_cuts(found: Candidates) -> None:
    reached = found.metrics(best_thresholds(found, "label")).per_label
    for label, one in found.per_label.items():
        best = max(f1(*cut, one.gold) for cut in every_cut(one))
        assert f1(reached[label].predicted, reached[label].correct, reached[label].gold) == best


@settings(max_examples=200)
@given(found=candidates(4), objective=st.sampled_from(["micro", "label"]))
def test_nothing_gets_worse_and_a_second_search_changes_nothing(found: Candidates, objective: str) -> None:
    thresholds = best_thresholds(found, objective)
    before, after = found.metrics(found.thresholds), found.metrics(thresholds)
    if objective == "micro":
        assert after.micro.f1 >= before.micro.f1
    else:
        assert all(after.per_label[label].f1 >= before.per_label[label].f1 for label in found.per_label)
        assert after.macro["f1"] >= before.macro["f1"] - 1e-12
    assert all(0 < threshold < 1 for threshold in thresholds.values())
    moved = {
        label: LabelCandidates(one.scores, one.is_gold, one.gold, thresholds[label])
        for label, one in found.per_label.items()
    }
    assert best_thresholds(Candidates(moved), objective) == thresholds
    for label, one in found.per_label.items():
        if not one.gold or not len(one.scores):
            assert thresholds[label] == one.threshold


@pytest.mark.parametrize(
    ("is_gold", "present", "expected"),
    [
        ("TTFTF", 0.0, -2.0),  # 4 of 5 above 1, but 6 of 7 above -3: halfway between -1 and -3
        ("TTFFF", 0.0, 2.0),  # 4 of 4 above 1: halfway between 3 and 1
        ("TTFFF", 2.9, 2.9),  # what is as good as any other stays as it is
        # 2 of 3 above 3, 4 of 6 above -3: the nearer one
        ("TFFTF", 1.5, 4.0),
        ("TFFTF", -0.5, -2.0),
    ],
)
def test_the_threshold_lies_midway_in_logits_and_the_nearest_of_equals_is_taken(
    is_gold: str, present: float, expected: float
) -> None:
    right = np.array([letter == "T" for letter in is_gold])
    one = LabelCandidates(sigmoid([5, 3, 1, -1, -3]), right, int(right.sum()), 1 / (1 + math.exp(-present)))
    found = best_thresholds(Candidates({"x": one}), "label")["x"]
    assert math.log(found / (1 - found)) == pytest.approx(expected)


def test_a_label_whose_predictions_cost_more_than_they_bring_is_silenced_for_micro_f1_only() -> None:
    good = LabelCandidates(sigmoid([3.0] * 90), np.ones(90, bool), 100, 0.5)
    bad = LabelCandidates(sigmoid([4.0, 4.0, 4.0, 2.0]), np.array([False, False, False, True]), 2, 0.5)
    found = Candidates({"good": good, "bad": bad})
    micro, label = (found.metrics(best_thresholds(found, objective)) for objective in ("micro", "label"))
    assert micro.per_label["bad"].predicted == 0
    assert label.per_label["bad"].predicted == 4
    assert best_thresholds(found)["bad"] == pytest.approx(1 / (1 + np.exp(-5)))  # one logit above the highest


def test_scores_whose_probability_is_1_are_told_from_others() -> None:
    scores, is_gold = sigmoid([60, 40, 34, 20]), np.array([True, True, False, False])
    assert scores[0] == scores[1] == 1
    found = Candidates({"x": LabelCandidates(scores, is_gold, 2, 0.5)})
    assert found.metrics(best_thresholds(found)).micro.f1 == 1


def test_an_unknown_objective_is_an_error() -> None:
    with pytest.raises(ValueError, match="macro"):
        best_thresholds(Candidates({}), "macro")


# --- the model decides as the search does


@st.composite
def close_scores(draw: st.DrawFn) -> list[tuple[float, bool]]:
    """Scores in float32, some next to each other, some far beyond what a probability can tell apart."""
    rows = []
    for base in draw(st.lists(st.floats(-8, 60, width=32).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=6)):
        for steps in draw(st.lists(st.integers(0, 40), min_size=1, max_size=4)):
            bits = np.float32(base).view(np.int32) + np.int32(steps)
            rows.append((float(bits.view(np.float32)), draw(st.booleans())))
    return rows


@settings(max_examples=100)
@given(
    rows=close_scores(),
    missed=st.integers(0, 3),
    present=st.sampled_from(PRESENT),
    score_threshold=st.sampled_from([0.0, 3.0, -2.5]),
    objective=st.sampled_from(["micro", "label"]),
)
@example([(-2.000016689300537, False), (-2.000016927719116, False), (1.0, True)], 0, 0.002, -2.5, "micro")
@example([(34.0, False), (60.0, True), (36.5, True), (70.0, True)], 0, 0.5, 0.0, "label")
def test_the_model_predicts_what_the_search_promised_however_close_or_extreme_the_scores(
    rows: list[tuple[float, bool]], missed: int, present: float, score_threshold: float, objective: str
) -> None:
    model = MODEL
    model.config.score_threshold = score_threshold
    # Spans that end with the last token: only what their first token adds is not 0.
    start = torch.tensor([score for score, _ in rows]).expand(1, 1, -1)
    zeros = torch.zeros(1, 1, len(rows), 2)
    mask = torch.ones(1, 2, len(rows), dtype=torch.bool)
    mask[:, 1, :-1] = False
    spans = SpanScores(zeros, zeros, start, torch.zeros_like(start), mask)
    is_gold = torch.tensor([right for _, right in rows])

    def decide(threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
        found = model.decode(spans, threshold, max_spans=len(rows))
        return found.spans[0, :, 1], (found.scores[0].double() - score_threshold).sigmoid()

    first, scores = decide(min(0.01, present))
    gold = int(is_gold[first].sum()) + missed
    one = LabelCandidates(scores.numpy(), is_gold[first].numpy(), gold, present)
    found = Candidates({"x": one})

    def check(threshold: float, promised: tuple[int, int]) -> None:
        predicted, _ = decide(threshold)
        assert (len(predicted), int(is_gold[predicted].sum())) == promised

    for threshold in (present, best_thresholds(found, objective)["x"]):
        promised = found.metrics({"x": threshold}).micro
        check(threshold, (promised.predicted, promised.correct))
    for threshold, precision, recall, _ in zip(*precision_recall_curve(found), strict=True):
        correct = round(recall * gold)
        check(threshold, (round(correct / precision) if correct else len(decide(threshold)[0]), correct))


MODEL = make_model("efficient", labels=["x"])


def random_texts(count: int) -> list[str]:
    """Random words of letters; every eighth text is longer than one window."""
    generator = random.Random(0)
    lengths = [generator.randint(1, 30) if index % 8 else 70 for index in range(count)]
    return ["".join(generator.choices("abcdefgh ", k=length)) for length in lengths]


def examples_for(pipe: GlobalPointerNerPipeline, count: int = 24) -> list[Example]:
    """Texts with gold entities that a pipeline half agrees with, and some that tokens cannot express."""
    generator = random.Random(1)
    examples = []
    texts = random_texts(count)
    for text, found in zip(texts, pipe(texts, threshold=0.02, max_spans=4096), strict=True):
        entities = [
            Entity(span["start"], span["end"], span["entity_group"])
            for span in found
            if generator.random() < 0.5 * span["score"] ** 2
        ]
        # An entity given twice is one, and one that ends with whitespace is none that tokens spell.
        entities += entities[:1]
        if " " in text.strip():
            entities.append(Entity(0, text.strip().index(" ") + 1, LABELS[0]))
        examples.append(Example(text, tuple(entities)))
    return examples


def make_pipeline(kind: str = "efficient", **config: object) -> GlobalPointerNerPipeline:
    model = make_model(kind, max_spans=4096, **config)
    return GlobalPointerNerPipeline(model=model, tokenizer=make_char_tokenizer(), task="global-pointer-ner")


@pytest.mark.parametrize("kind", ["efficient", "full"])
@pytest.mark.parametrize(
    "config",
    [{}, {"score_threshold": 1.5, "thresholds": {"date": 0.003, "place": 0.8}}],
    ids=["plain", "thresholds given"],
)
def test_the_pipeline_reaches_exactly_what_the_search_promised(kind: str, config: dict[str, object]) -> None:
    pipe = make_pipeline(kind, **config)
    examples = examples_for(pipe)
    found = collect_candidates(pipe, examples, batch_size=8)
    assert sum(len(one.scores) for one in found.per_label.values()) > 5_000
    assert [one.gold for one in found.per_label.values()] == [
        sum(entity.label == label for example in examples for entity in set(example.entities)) for label in LABELS
    ]

    def measure() -> SpanMetrics:
        return score_predictions(examples, pipe([e.text for e in examples], batch_size=8), LABELS)

    before = measure()
    assert before == found.metrics(found.thresholds)
    reached = {}
    for objective in ("micro", "label"):
        pipe.model.config.thresholds = best_thresholds(found, objective)
        reached[objective] = measure()
        assert reached[objective] == found.metrics(pipe.model.config.thresholds)
        assert reached[objective].micro.recall < 1  # what tokens cannot express is gold all the same
    assert reached["micro"].micro.f1 > reached["label"].micro.f1 > before.micro.f1
    assert reached["label"].macro["f1"] > reached["micro"].macro["f1"] > before.macro["f1"]
    assert reached["micro"].micro.f1 > precision_recall_curve(found).f1.max()


def test_what_collecting_refuses() -> None:
    pipe = make_pipeline()
    with pytest.raises(ValueError, match=r"\['animal'\] are none of the model's labels"):
        collect_candidates(pipe, [Example("cat", (Entity(0, 3, "animal"),))])
    with pytest.raises(ValueError, match="probability"):
        collect_candidates(pipe, [Example("cat")], floor=0.0)


# --- curves


@settings(max_examples=100)
@given(found=candidates(3))
@example(Candidates({"x": LabelCandidates(sigmoid([-6, -5, 1]), np.array([True, False, True]), 2, 0.002)}))
def test_every_point_of_a_curve_is_what_its_threshold_gives(found: Candidates) -> None:
    for label in (*found.per_label, None):
        curve = precision_recall_curve(found, label)
        assert (np.diff(curve.threshold) > 0).all()
        scores = [one.scores for name, one in found.per_label.items() if label in (name, None)]
        assert len(curve.threshold) == len({score for score in np.concatenate(scores).tolist() if score > 0.01})
        for threshold, *ratios in zip(*curve, strict=True):
            metrics = found.metrics(dict.fromkeys(found.per_label, threshold))
            counts = metrics.micro if label is None else metrics.per_label[label]
            assert ratios == pytest.approx(list(counts.to_dict().values()))


# --- the command


# The module: in the package, its name is that of the function.
COMMAND = importlib.import_module("hf_globalpointer.cli.tune_thresholds")
Run = Callable[..., tuple[int, str, str]]
LABELS_ODD = ["$x^$", "[/person]", "地名"]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `tune-thresholds` or another command: exit code, standard output, standard error."""

    def run(*arguments: object, command: str = "tune-thresholds") -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([command, *map(str, arguments)])
        output = capfd.readouterr()
        return int(exit.value.code or 0), output.out, output.err

    return run


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


def test_the_command_changes_the_thresholds_of_a_checkpoint_and_nothing_else(
    checkpoint: tuple[Path, Path], run: Run
) -> None:
    model, data = checkpoint
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    code, out, err = run("--model", model, "--data", data)
    assert (code, "[dev].jsonl" in out) == (0, True), err
    new = {path.name: path.read_bytes() for path in model.iterdir()}
    assert new.keys() - old.keys() == {"thresholds.json", "curve.json"}
    assert {name for name in old if old[name] != new[name]} == {"config.json"}
    config, results = json.loads(new["config.json"]), json.loads(new["thresholds.json"])
    assert config["thresholds"] == results["after"]["thresholds"]
    assert list(config["thresholds"]) == LABELS
    assert config | {"thresholds": None} == json.loads(old["config.json"]) | {"thresholds": None}
    assert list(config) == list(dict.fromkeys([*json.loads(old["config.json"]), "thresholds"]))

    before, after = f1_of(out, "micro")
    assert before < after
    assert [round(results[name]["metrics"]["f1"], 4) for name in ("before", "after")] == [before, after]
    evaluated = run("--model", model, "--data", data, command="evaluate")[1]
    assert re.search(rf"│ micro .* {after:.4f} ", evaluated)
    curves = json.loads(new["curve.json"])
    assert list(curves["labels"]) == LABELS
    assert max(curves["micro"]["f1"]) <= results["after"]["metrics"]["f1"]

    assert run("--model", model, "--data", data)[0] == 0
    assert (model / "config.json").read_bytes() == new["config.json"]


def test_the_objective_and_another_folder_for_the_figures(checkpoint: tuple[Path, Path], run: Run) -> None:
    model, data = checkpoint
    names = {path.name for path in model.iterdir()}
    output = model.parent / "new" / "figures"
    code, out, _ = run("--model", model, "--data", data, "--output", output, "--objective", "label", "--plot")
    assert code == 0
    assert {path.name for path in model.iterdir()} == names
    assert {path.name for path in output.iterdir()} == {"thresholds.json", "curve.json", "curve.png"}
    assert (output / "curve.png").read_bytes().startswith(b"\x89PNG")
    for name in (*LABELS, "macro"):
        before, after = f1_of(out, name)
        assert before <= after
    found = collect_candidates(make_pipeline(), list(read_examples(data)))
    micro, label = (best_thresholds(found, objective) for objective in ("micro", "label"))
    assert json.loads((model / "config.json").read_text())["thresholds"] == label != micro


def test_labels_are_shown_and_written_letter_by_letter(tmp_path: Path, run: Run) -> None:
    pipe = make_pipeline(labels=LABELS_ODD)
    pipe.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()), indent=2, ensure_ascii=False), encoding="utf-8")
    data = tmp_path / "dev.jsonl"
    entities = [{"start": 0, "end": 2, "label": label} for label in LABELS_ODD]
    data.write_text(json.dumps({"text": "ab cd", "entities": entities}) + "\n")
    code, out, err = run("--model", tmp_path / "model", "--data", data)
    assert code == 0, err
    assert all(label in out for label in LABELS_ODD)
    assert config.read_text(encoding="utf-8").count("地名") == 3
    found = collect_candidates(pipe, [Example("ab cd", (Entity(0, 2, "$x^$"),))])
    with pytest.warns(UserWarning, match="missing from font"):
        plot_curves(found, found.thresholds, tmp_path / "curve.svg")
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_a_promise_that_the_pipeline_does_not_keep_is_told_and_nothing_is_written(
    checkpoint: tuple[Path, Path], run: Run
) -> None:
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"max_spans": 2}
    (model / "config.json").write_text(json.dumps(config))
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    code, out, err = run("--model", model, "--data", data)
    assert (code, out) == (1, "")
    assert re.search(r"^hf-globalpointer: nothing was written: .* the 2 spans that `max_spans`", err, re.MULTILINE)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == old


def test_a_write_that_fails_leaves_the_configuration_whole(
    checkpoint: tuple[Path, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    old = (model / "config.json").read_bytes()
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    code, _, err = run("--model", model, "--data", data)
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
    arguments: list[str], message: str, checkpoint: tuple[Path, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = checkpoint
    monkeypatch.chdir(model.parent)
    Path("other.jsonl").write_text('{"text": "ab", "entities": [{"start": 0, "end": 2, "label": "data"}]}\n')
    monkeypatch.setattr(thresholds, "collect_candidates", None)
    words = [argument.format(model=model) for argument in arguments]
    code, out, err = run(*words, *(() if "--data" in words else ("--data", data)))
    assert (code, out) == (1, "")
    assert re.search(rf"^hf-globalpointer: .*{message}", err.splitlines()[-1]), err


def test_a_plot_without_matplotlib_is_refused_first_of_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "find_spec", lambda name: None)
    code, _, err = run("--model", "nowhere", "--data", "nowhere.jsonl", "--plot")
    assert (code, err) == (1, "hf-globalpointer: --plot needs matplotlib: pip install 'hf-globalpointer[plot]'\n")


def test_thresholds_that_would_be_worse_are_told_and_not_written(
    checkpoint: tuple[Path, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an overlap rule, labels are not independent, so that the search may miss."""
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"overlap": "flat"}
    (model / "config.json").write_text(json.dumps(config))
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    monkeypatch.setattr(
        thresholds, "best_thresholds", lambda candidates, objective: dict.fromkeys(candidates.per_label, 1 - 1e-9)
    )
    code, out, err = run("--model", model, "--data", data)
    assert (code, out) == (0, "")
    assert "Nothing was written: F1 is" in err
    assert "overlap rule 'flat'" in " ".join(err.split())
    assert {path.name: path.read_bytes() for path in model.iterdir()} == old


def test_the_command_obeys_the_overlap_rule(checkpoint: tuple[Path, Path], run: Run) -> None:
    model, data = checkpoint
    config = json.loads((model / "config.json").read_text()) | {"overlap": "flat"}
    (model / "config.json").write_text(json.dumps(config))
    code, out, err = run("--model", model, "--data", data)
    assert code == 0, err
    before, after = f1_of(out, "micro")
    assert after >= before
    tuned = json.loads((model / "thresholds.json").read_text())
    pipe = pipeline("global-pointer-ner", model=str(model))
    examples = list(read_examples(data))
    metrics = score_predictions(examples, pipe([example.text for example in examples]), LABELS)
    assert metrics.micro.f1 == pytest.approx(tuned["after"]["metrics"]["f1"])
