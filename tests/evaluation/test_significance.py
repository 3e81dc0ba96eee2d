import time

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_globalpointer.evaluation.document_counts import DocumentCounts
from hf_globalpointer.evaluation.significance import OVERALL, bootstrap_intervals, compare_models


def documents(counts: NDArray[np.int64]) -> DocumentCounts:
    return DocumentCounts(tuple("abcdefghij"[: counts.shape[1]]), counts)


def random_counts(seed: int, size: tuple[int, int], skill: float, gold: NDArray[np.int64]) -> DocumentCounts:
    generator = np.random.default_rng(seed)
    correct = generator.binomial(gold, skill)
    return documents(np.stack([correct, correct + generator.integers(0, 2, size), gold], axis=-1))


@pytest.fixture
def gold() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 4, (60, 3))


def test_intervals_agree_with_resampling_one_by_one(gold: NDArray[np.int64]) -> None:
    counts = random_counts(1, gold.shape, 0.8, gold)
    intervals = bootstrap_intervals(counts, resamples=2_000)
    generator = np.random.default_rng(7)
    drawn = [documents(counts.counts[generator.integers(60, size=60)]).metrics.to_dict() for _ in range(2_000)]
    for name in ("precision", "recall", "f1"):
        for key, interval in (
            (name, intervals.micro[name]),
            (f"macro_{name}", intervals.macro[name]),
            (f"{name}_b", intervals.per_label["b"][name]),
        ):
            expected = np.quantile([scores[key] for scores in drawn], [0.025, 0.975])
            assert interval == pytest.approx(expected.tolist(), abs=0.012)
            assert interval.low < counts.metrics.to_dict()[key] < interval.high


def test_the_seed_decides(gold: NDArray[np.int64]) -> None:
    counts = random_counts(1, gold.shape, 0.8, gold)
    assert bootstrap_intervals(counts) == bootstrap_intervals(counts)
    assert bootstrap_intervals(counts, seed=1) != bootstrap_intervals(counts)
    other = random_counts(2, gold.shape, 0.8, gold)
    assert compare_models(counts, other, 200) == compare_models(counts, other, 200)


def test_a_higher_confidence_takes_a_wider_interval(gold: NDArray[np.int64]) -> None:
    counts = random_counts(1, gold.shape, 0.8, gold)
    narrow, wide = (bootstrap_intervals(counts, confidence=confidence).micro["f1"] for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_documents_that_are_all_alike_leave_no_doubt() -> None:
    counts = documents(np.tile(np.array([[3, 4, 6], [0, 0, 0]]), (10, 1, 1)))
    intervals = bootstrap_intervals(counts)
    assert intervals.micro == {"precision": (0.75, 0.75), "recall": (0.5, 0.5), "f1": (0.6, 0.6)}
    assert intervals.macro == intervals.micro  # a type that does not occur is left out
    assert intervals.per_label["b"] == {"precision": None, "recall": None, "f1": None}


def test_resamples_without_a_type_say_nothing_of_it() -> None:
    # The one entity of the rare type is right, and a third of the resamples do not have it.
    counts = np.tile(np.array([[[1, 1, 1], [0, 0, 0]]]), (50, 1, 1))
    counts[0, 1] = 1
    intervals = bootstrap_intervals(documents(counts))
    assert intervals.per_label["b"] == dict.fromkeys(("precision", "recall", "f1"), (1.0, 1.0))
    empty = np.zeros((50, 1, 3), dtype=np.int64)
    assert bootstrap_intervals(documents(empty)).micro == dict.fromkeys(("precision", "recall", "f1"))
    empty[0] = 1
    once = bootstrap_intervals(documents(empty))
    assert once.micro == once.macro == dict.fromkeys(("precision", "recall", "f1"), (1.0, 1.0))


def test_a_thousand_resamples_of_two_thousand_documents_are_fast() -> None:
    gold = np.random.default_rng(0).integers(0, 6, (2_000, 10))
    counts = random_counts(0, gold.shape, 0.8, gold)
    start = time.process_time()
    bootstrap_intervals(counts)
    assert time.process_time() - start < 1


def test_a_large_corpus_is_resampled_in_blocks(gold: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch) -> None:
    counts = random_counts(1, gold.shape, 0.8, gold)
    whole = compare_models(counts, random_counts(2, gold.shape, 0.7, gold), 2_000)["f1"]
    monkeypatch.setattr("hf_globalpointer.evaluation.significance._BLOCK", 7 * 60 + 1)
    blocks = compare_models(counts, random_counts(2, gold.shape, 0.7, gold), 2_000)["f1"]
    assert blocks.interval == pytest.approx(whole.interval, abs=0.01)
    assert blocks.p_value == pytest.approx(whole.p_value, abs=0.05)


def test_p_is_exact_where_all_assignments_can_be_listed() -> None:
    gold = np.random.default_rng(3).integers(1, 4, (8, 2))
    first, second = random_counts(1, gold.shape, 0.9, gold), random_counts(2, gold.shape, 0.6, gold)
    scores = []
    for assignment in range(2**8):
        swapped = np.array([(assignment >> document) & 1 for document in range(8)], dtype=bool)[:, None, None]
        one = documents(np.where(swapped, second.counts, first.counts)).metrics.to_dict(per_label=False)
        other = documents(np.where(swapped, first.counts, second.counts)).metrics.to_dict(per_label=False)
        scores.append([one[name] - other[name] for name in OVERALL])
    as_far = np.abs(scores) >= np.abs(scores[0]) - 1e-12
    found = compare_models(first, second, 20_000)
    assert [found[name].p_value for name in OVERALL] == pytest.approx(as_far.mean(axis=0).tolist(), abs=0.015)
    assert [found[name].value for name in OVERALL] == pytest.approx(scores[0])


def test_a_model_does_not_differ_from_itself(gold: NDArray[np.int64]) -> None:
    counts = random_counts(1, gold.shape, 0.8, gold)
    for difference in compare_models(counts, counts, 100).values():
        assert (difference.value, difference.interval, difference.p_value) == (0, (0, 0), 1)


def test_a_better_model_is_found_and_sides_do_not_matter(gold: NDArray[np.int64]) -> None:
    better, worse = random_counts(1, gold.shape, 0.95, gold), random_counts(2, gold.shape, 0.5, gold)
    one, other = compare_models(better, worse, 1_000)["f1"], compare_models(worse, better, 1_000)["f1"]
    assert one.p_value == other.p_value == 1 / 1_001
    assert one.interval.low > 0
    assert other.interval == pytest.approx((-one.interval.high, -one.interval.low))


def test_models_of_equal_skill_rarely_differ() -> None:
    p_values = []
    for seed in range(60):
        gold = np.random.default_rng(seed).integers(0, 4, (40, 2))
        pair = (random_counts(1_000 + 2 * seed + side, gold.shape, 0.7, gold) for side in (0, 1))
        p_values.append(compare_models(*pair, resamples=200)["f1"].p_value)
    assert np.mean(np.array(p_values) < 0.1) < 0.25
    assert 0.35 < np.mean(p_values) < 0.65


def test_what_cannot_be_compared() -> None:
    counts = documents(np.array([[[1, 1, 1]]]))
    with pytest.raises(ValueError, match="same labels in the same documents"):
        compare_models(counts, documents(np.array([[[1, 1, 2]]])))
    with pytest.raises(ValueError, match="same labels in the same documents"):
        compare_models(counts, DocumentCounts(("z",), counts.counts))
    with pytest.raises(ValueError, match="no documents"):
        bootstrap_intervals(documents(np.zeros((0, 1, 3), dtype=np.int64)))
    with pytest.raises(ValueError, match=r"`confidence` must be between 0 and 1, got 95"):
        bootstrap_intervals(counts, confidence=95)
