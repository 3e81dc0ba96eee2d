import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings, strategies as st

from conftest import LABELS, examples_for, make_model, make_pipeline
from hf_globalpointer import (
    Entity,
    Example,
    SpanMetrics,
    SpanScores,
    score_predictions,
)
from hf_globalpointer.evaluation.metrics import SpanCounts
from hf_globalpointer.evaluation.threshold_curves import precision_recall_curve
from hf_globalpointer.evaluation.thresholds import (
    Candidates,
    LabelCandidates,
    best_thresholds,
    collect_candidates,
    held_out_metrics,
)


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


def test_metrics_on_held_out_parts_are_those_of_thresholds_chosen_on_all_others() -> None:
    def part(*scores: float, gold: tuple[bool, ...]) -> Candidates:
        return Candidates({"a": LabelCandidates(np.array(scores), np.array(gold), sum(gold), 0.5)})

    parts = [
        part(0.9, 0.3, gold=(True, True)),
        part(0.8, 0.25, gold=(True, True)),
        # Chosen with it, the threshold is above 0.3 and 0.25.
        part(0.85, 0.2, 0.28, 0.27, 0.29, 0.31, 0.32, gold=(True, *[False] * 6)),
    ]
    total = Candidates.merged(parts)
    assert sorted(total.per_label["a"].scores) == sorted(x for each in parts for x in each.per_label["a"].scores)
    assert (total.per_label["a"].gold, total.thresholds, total.floor) == (5, {"a": 0.5}, 0.01)
    # On the first two: only what is over 0.5. On the third: all, since the others call for all that is over 0.05.
    found = [metrics.per_label["a"] for metrics in held_out_metrics(parts)]
    assert found == [SpanCounts(1, 1, 2), SpanCounts(1, 1, 2), SpanCounts(1, 7, 1)]
    with pytest.raises(ValueError, match="`objective` must be"):
        held_out_metrics(parts, "macro")  # type: ignore[arg-type]


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
