from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from conftest import LABELS, examples_for, make_pipeline
from hf_globalpointer import Entity, Example, calibrate
from hf_globalpointer.evaluation.calibration import Reliability, calibrated, fit_calibration, reset_calibration
from hf_globalpointer.evaluation.scored_documents import ScoredDocument
from hf_globalpointer.evaluation.threshold_curves import precision_recall_curve
from hf_globalpointer.evaluation.thresholds import Candidates, LabelCandidates, collect_candidates


def document(*scored: tuple[float, bool]) -> ScoredDocument:
    """A text with predictions of these probabilities, some of them correct."""
    entities = [Entity(index, index + 1, "x") for index in range(len(scored))]
    gold = tuple(entity for entity, (_, right) in zip(entities, scored, strict=True) if right)
    return ScoredDocument(Example("a" * 99, gold), dict(zip(entities, [score for score, _ in scored], strict=True)))


def test_the_error_is_the_mean_distance_of_precision_and_probability() -> None:
    documents = [document((0.85, True), (0.9, False)), document((0.81, True), (0.55, False)), document()]
    reliability = Reliability.from_documents(documents)
    bins = [(each.low, each.high, each.predicted) for each in reliability.bins if each.predicted]
    # The edge of 0.9 belongs to the bin below.
    assert bins == [(0.5, 0.6, 1), (0.8, 0.9, 3)]
    assert reliability.bins[8].probability == pytest.approx((0.85 + 0.9 + 0.81) / 3)
    assert reliability.bins[8].precision == pytest.approx(2 / 3)
    assert reliability.error == pytest.approx((3 * abs(2 / 3 - 2.56 / 3) + 0.55) / 4)
    assert Reliability.from_documents([document((1.0, True))]).error == 0
    assert Reliability.from_documents([]).error == 0


def made_up(scale: float, shift: float, count: int, seed: int) -> LabelCandidates:
    """Candidates that are gold with the probability that scale and shift make of theirs."""
    generator = np.random.default_rng(seed)
    logits = generator.uniform(-4, 12, count)
    is_gold = generator.random(count) < 1 / (1 + np.exp(-(scale * logits + shift)))
    return LabelCandidates(1 / (1 + np.exp(-logits)), is_gold, int(is_gold.sum()), 0.5)


def test_scale_and_shift_of_each_label_are_found() -> None:
    wanted = {"a": (0.5, -1.0), "b": (0.3, 0.5)}
    candidates = Candidates({label: made_up(*wanted[label], 20_000, index) for index, label in enumerate(wanted)})
    for label, (scale, shift) in fit_calibration(candidates).items():
        assert scale == pytest.approx(wanted[label][0], rel=0.05)
        assert shift == pytest.approx(wanted[label][1], abs=0.06)


def test_the_fit_is_the_least_of_its_loss() -> None:
    """By torch's optimizer on the same loss, written down again."""
    one = made_up(0.4, -0.5, 60, seed=3)
    x = torch.tensor(np.log(one.scores / (1 - one.scores)))
    y = torch.tensor(one.is_gold, dtype=torch.float64)

    def least(center: torch.Tensor) -> torch.Tensor:
        at = center.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([at], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            z = at[0] * x + at[1]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum")
            loss = loss + ((at - center) ** 2).sum() / 2
            loss.backward()
            return loss

        optimizer.step(closure)
        return at.detach()

    of_all = least(torch.tensor([1.0, 0.0], dtype=torch.float64))
    found = fit_calibration(Candidates({"a": one, "b": LabelCandidates(np.empty(0), np.empty(0, bool), 3, 0.5)}))
    assert found["a"] == pytest.approx(least(of_all).tolist(), abs=1e-6)
    # A label without candidates goes by the others.
    assert found["b"] == pytest.approx(of_all.tolist(), abs=1e-6)


def test_a_label_that_the_data_lack_goes_by_the_others() -> None:
    one = made_up(0.4, -0.5, 200, seed=3)
    absent = LabelCandidates(one.scores, np.zeros(200, bool), 0, 0.5)
    assert fit_calibration(Candidates({"a": one, "b": absent}))["a"] == fit_calibration(Candidates({"a": one}))["a"]
    of_all = fit_calibration(Candidates({"a": one, "b": LabelCandidates(np.empty(0), np.empty(0, bool), 1, 0.5)}))["b"]
    assert fit_calibration(Candidates({"a": one, "b": absent}))["b"] == of_all


def test_curves_are_as_long_as_before() -> None:
    candidates = Candidates({"a": made_up(0.9, -1.0, 300, 0), "b": made_up(0.2, 2.0, 300, 1)})
    config = SimpleNamespace(calibration=None, thresholds=None)
    found = calibrate(config, candidates, candidates.thresholds)
    assert found.floor_of("a") < found.floor == found.floor_of("b")
    for label in ("a", "b"):
        before, after = (precision_recall_curve(each, label) for each in (candidates, found))
        assert after.recall.max() == before.recall.max()
        assert after.f1.max() == pytest.approx(before.f1.max())


@pytest.mark.parametrize("right", [True, False])
def test_candidates_that_say_nothing_or_turn_the_order_around_change_none(right: bool) -> None:
    assert fit_calibration(Candidates({"a": LabelCandidates(np.empty(0), np.empty(0, bool), 0, 0.5)})) == {
        "a": (1.0, 0.0)
    }
    scores = np.array([0.02, 0.02, 0.99999, 0.99999] * 20)
    found = fit_calibration(Candidates({"a": LabelCandidates(scores, (scores < 0.5) ^ right, 40, 0.5)}))["a"]
    assert (found == (1.0, 0.0)) == (not right)
    assert found[0] > 0


@given(
    st.lists(st.floats(1e-12, 1, exclude_max=True), min_size=2, max_size=9),
    st.floats(0.02, 5),
    st.floats(-9, 9),
)
def test_the_order_stays_and_probabilities_lie_between_0_and_1(
    probabilities: list[float], scale: float, shift: float
) -> None:
    ordered = np.sort(np.array(probabilities))
    values = calibrated(ordered, scale, shift)
    assert (np.diff(values) >= 0).all()
    assert (values > 0).all()
    assert (values < 1).all()


@pytest.mark.parametrize("overlap", ["all", "nested", "flat"])
@pytest.mark.parametrize("kind", ["full", "efficient"])
def test_the_model_predicts_the_same_with_other_probabilities(kind: str, overlap: str) -> None:
    pipe = make_pipeline(kind, thresholds={"place": 0.3}, score_threshold=0.7, overlap=overlap)
    config, examples = pipe.model.config, examples_for(pipe)
    texts = [example.text for example in examples]

    def places(found: list[list[dict[str, object]]]) -> list[list[tuple[object, ...]]]:
        return [[(e["start"], e["end"], e["entity_group"]) for e in each] for each in found]

    def error() -> float:
        found = pipe(texts)
        documents = (ScoredDocument.from_pipeline(*pair) for pair in zip(examples, found, strict=True))
        return Reliability.from_documents(documents).error

    plain, plain_error = pipe(texts), error()
    candidates = collect_candidates(pipe, examples)
    thresholds = dict(config.thresholds or {})
    expected = calibrate(config, candidates, candidates.thresholds)
    assert places(pipe(texts)) == places(plain)
    assert error() < plain_error / 2
    again = collect_candidates(pipe, examples, floor=expected.floor)
    # Where entities compete, a span may be a candidate only for as long as what keeps it away is none.
    for label in LABELS if overlap == "all" else ():
        above = expected.per_label[label].scores > expected.floor
        found = again.per_label[label].scores
        assert sorted(found) == pytest.approx(sorted(expected.per_label[label].scores[above]), rel=1e-6)
    # Twice is as good as once, and it can be taken back.
    calibrate(config, again, again.thresholds)
    assert places(pipe(texts)) == places(plain)
    reset_calibration(config)
    assert config.calibration is None
    assert config.thresholds["place"] == pytest.approx(thresholds["place"])
    assert places(pipe(texts)) == places(plain)
