"""How sure a score is, and a difference of two: resampling and shuffling of whole documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .document_counts import DocumentCounts


RATIOS = ("precision", "recall", "f1")
OVERALL = (*RATIOS, *(f"macro_{ratio}" for ratio in RATIOS))
# Drawn documents that are held in memory at once.
_BLOCK = 2**22


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class SpanIntervals:
    """Confidence intervals of what [`SpanMetrics`] tells: of `precision`, `recall` and `f1`.

    There is none of what occurs in no resample, neither among gold entities nor among predictions.

    Args:
        per_label (`dict[str, dict[str, Interval | None]]`): Those of every type or other group.
        micro (`dict[str, Interval | None]`): Those over all.
        macro (`dict[str, Interval | None]`): Those of the means over the types.
    """

    per_label: dict[str, dict[str, Interval | None]]
    micro: dict[str, Interval | None]
    macro: dict[str, Interval | None]


def bootstrap_intervals(
    documents: DocumentCounts, resamples: int = 1_000, confidence: float = 0.95, seed: int = 0
) -> SpanIntervals:
    """Percentile intervals from resamples of as many documents, drawn with replacement (Efron, 1979).

    Resamples in which a type does not occur say nothing of it, and take no part in its intervals.

    Args:
        documents (`DocumentCounts`): The counts of each document.
        resamples (`int`, *optional*, defaults to 1,000): The number of resamples.
        confidence (`float`, *optional*, defaults to 0.95): The share of the resamples that an interval holds.
        seed (`int`, *optional*, defaults to 0): With the same one, the intervals are the same.

    Raises:
        ValueError: If there are no documents, or `confidence` is not between 0 and 1.
    """
    totals = np.concatenate(list(_bootstrap(documents.counts, resamples, seed)))
    tails = _tails(confidence)
    occurs, any_occurs = _occurs(totals), _occurs(totals.sum(axis=1))

    def intervals(ratios: NDArray[np.float64], known: NDArray[np.bool_]) -> dict[str, Interval | None]:
        if not known.any():
            return dict.fromkeys(RATIOS)
        return dict(_intervals(np.quantile(ratios[known], tails, axis=0), RATIOS))

    per_label, overall = _ratios(totals), _overall(totals)
    return SpanIntervals(
        {name: intervals(per_label[:, group], occurs[:, group]) for group, name in enumerate(documents.names)},
        micro=intervals(overall[:, : len(RATIOS)], any_occurs),
        macro=intervals(overall[:, len(RATIOS) :], any_occurs),
    )


@dataclass(frozen=True)
class Difference:
    """How far apart two models are on the same documents.

    Args:
        first (`float`): The score of the first model.
        second (`float`): The score of the second one.
        interval (`Interval`): Confidence interval of first - second.
        p_value (`float`): How often models that do not differ would be as far apart, one way or the other.
    """

    first: float
    second: float
    interval: Interval
    p_value: float

    @property
    def value(self) -> float:
        """First - second."""
        return self.first - self.second


def compare_models(
    first: DocumentCounts,
    second: DocumentCounts,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Difference]:
    """Test whether two models differ on the same documents.

    The p-value is that of approximate randomisation (Yeh, 2000, "More accurate tests for the statistical significance
    of result differences"): in each round every document's predictions change sides or stay, by the toss of a coin,
    and (rounds at least as far apart as the models + 1) / (rounds + 1) is the two-sided p. The interval is that of the
    paired bootstrap (Berg-Kirkpatrick et al., 2012, "An empirical investigation of statistical significance in NLP").

    Args:
        first (`DocumentCounts`): The counts of one model for each type.
        second (`DocumentCounts`): Those of the other one.
        resamples (`int`, *optional*, defaults to 10,000): The number of rounds, and of resamples.
        confidence (`float`, *optional*, defaults to 0.95): The share of the resamples that an interval holds.
        seed (`int`, *optional*, defaults to 0): With the same one, the result is the same.

    Returns:
        `dict[str, Difference]`: Of micro `precision`, `recall` and `f1`, and `macro_precision` and so on.

    Raises:
        ValueError: If types, documents or gold entities are not the same, there are no documents, or `confidence` is
            not between 0 and 1.
    """
    same = first.names == second.names and np.array_equal(first.counts[..., 2], second.counts[..., 2])
    if not same:
        raise ValueError("Only counts of the same types in the same documents can be compared.")
    scores = np.stack([_overall(each.counts.sum(axis=0)) for each in (first, second)])
    observed = scores[0] - scores[1]

    as_far = np.zeros(len(OVERALL), dtype=np.int64)
    # What changes sides takes the difference of the two models' counts with it.
    change = second.counts - first.counts
    for moved in _shuffle(change, resamples, seed):
        shuffled = _overall(first.counts.sum(axis=0) + moved) - _overall(second.counts.sum(axis=0) - moved)
        # The same ratio of other integers may differ in its last bits.
        as_far += (np.abs(shuffled) >= np.abs(observed) - 1e-12).sum(axis=0)

    both = np.concatenate([first.counts, second.counts], axis=1)
    groups = len(first.names)
    differences = [
        _overall(totals[:, :groups]) - _overall(totals[:, groups:]) for totals in _bootstrap(both, resamples, seed)
    ]
    intervals = _intervals(np.quantile(np.concatenate(differences), _tails(confidence), axis=0), OVERALL)
    p_values = ((as_far + 1) / (resamples + 1)).tolist()
    return {
        name: Difference(one, other, intervals[name], p_value)
        for name, one, other, p_value in zip(OVERALL, *scores.tolist(), p_values, strict=True)
    }


def _bootstrap(counts: NDArray[np.int64], resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the totals of resamples, `(rows, G, 3)` at a time, from counts `(D, G, 3)`."""
    generator = np.random.default_rng(seed)
    for rows in _blocks(len(counts), resamples):
        drawn = generator.integers(len(counts), size=(rows, len(counts)))
        drawn += np.arange(rows)[:, None] * len(counts)
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield _weighted(times, counts)


def _shuffle(counts: NDArray[np.int64], rounds: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the totals of the documents that change sides, `(rows, G, 3)` at a time."""
    generator = np.random.default_rng(seed)
    for rows in _blocks(len(counts), rounds):
        yield _weighted(generator.integers(2, size=(rows, len(counts))), counts)


def _blocks(documents: int, rows: int) -> Iterator[int]:
    """Yield numbers of rows that add up to `rows`, few enough for the memory."""
    if not documents:
        raise ValueError("There are no documents to draw from.")
    block = max(_BLOCK // documents, 1)
    for first in range(0, rows, block):
        yield min(block, rows - first)


def _weighted(times: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of counts `(D, G, 3)`, each document as many times as `times` `(rows, D)` says: exact in float64."""
    totals = times.astype(np.float64) @ counts.reshape(len(counts), -1).astype(np.float64)
    sums: NDArray[np.float64] = totals.reshape(len(times), *counts.shape[1:])
    return sums


def _ratios(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Precision, recall and F1 `(..., 3)` of counts `(..., 3)`; a ratio over nothing is 0."""
    correct, predicted, gold = np.moveaxis(counts, -1, 0)
    over = np.stack([predicted, gold, (predicted + gold) / 2], axis=-1)
    ratios: NDArray[np.float64] = np.divide(correct[..., None], over, out=np.zeros(over.shape), where=over > 0)
    return ratios


def _occurs(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether there is a gold entity or a prediction, `(...)`, of counts `(..., 3)`."""
    return (counts[..., 1] > 0) | (counts[..., 2] > 0)


def _overall(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Micro and macro ratios `(..., 6)` of counts `(..., G, 3)`; macro over the groups that occur, as elsewhere."""
    macro = _ratios(counts).sum(axis=-2) / np.maximum(_occurs(counts).sum(axis=-1), 1)[..., None]
    return np.concatenate([_ratios(counts.sum(axis=-2)), macro], axis=-1)


def _tails(confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1, got {confidence}.")
    return (1 - confidence) / 2, (1 + confidence) / 2


def _intervals(bounds: NDArray[np.float64], names: tuple[str, ...]) -> dict[str, Interval]:
    """Low and high bounds `(2, N)` by name."""
    return {name: Interval(low, high) for name, (low, high) in zip(names, bounds.T.tolist(), strict=True)}
