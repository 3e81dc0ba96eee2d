"""How sure a score is, and a difference of two: resampling and shuffling of complete documents."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .document_counts import DocumentCounts


RATIOS = ("precision", "recall", "f1")
OVERALL = (*RATIOS, *(f"macro_{ratio}" for ratio in RATIOS))
# Drawn documents that are held in memory at once.
_BLOCK = 2**22

# Of a number of rounds and a number of documents: how many times each document is taken in each round.
_Draw = Callable[[np.random.Generator, int, int], NDArray[np.int64]]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


Intervals = dict[str, Interval | None]


@dataclass(frozen=True)
class SpanIntervals:
    """Confidence intervals of what [`SpanMetrics`] tells: of `precision`, `recall` and `f1`.

    There is none of what occurs in no resample, neither among gold entities nor among predictions.

    Args:
        per_label (`dict[str, Intervals]`): Those of every label or other group.
        micro (`Intervals`): Those over all.
        macro (`Intervals`): Those of the means over the labels.
    """

    per_label: dict[str, Intervals]
    micro: Intervals
    macro: Intervals


def bootstrap_intervals(
    documents: DocumentCounts, resamples: int = 1_000, confidence: float = 0.95, seed: int = 0
) -> SpanIntervals:
    """Percentile intervals from resamples of as many documents, drawn with replacement (Efron, 1979).

    Resamples in which a label does not occur say nothing of it, and take no part in its intervals.

    Args:
        documents (`DocumentCounts`): The counts of each document.
        resamples (`int`, *optional*, defaults to 1,000): The number of resamples.
        confidence (`float`, *optional*, defaults to 0.95): The share of the resamples that an interval holds.
        seed (`int`, *optional*, defaults to 0): With the same one, the intervals are the same.

    Raises:
        ValueError: If there are no documents, or `confidence` is not between 0 and 1.
    """
    totals = np.concatenate(list(_totals(documents.counts, _resample, resamples, seed)))

    def intervals(ratios: NDArray[np.float64], occurs: NDArray[np.bool_]) -> Intervals:
        return dict(_intervals(ratios[occurs], RATIOS, confidence)) if occurs.any() else dict.fromkeys(RATIOS)

    per_label, occurs, any_occurs = _ratios(totals), _occurs(totals), _occurs(totals.sum(axis=1))
    micro, macro = np.split(_overall(totals), 2, axis=-1)
    return SpanIntervals(
        {name: intervals(per_label[:, group], occurs[:, group]) for group, name in enumerate(documents.names)},
        micro=intervals(micro, any_occurs),
        macro=intervals(macro, any_occurs),
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

    The p-value is that of approximate randomization (Yeh, 2000, "More accurate tests for the statistical significance
    of result differences"): in each round every document's predictions change sides or stay, by the toss of a coin,
    and (rounds at least as far apart as the models + 1) / (rounds + 1) is the two-sided p. The interval is that of the
    paired bootstrap (Berg-Kirkpatrick et al., 2012, "An empirical investigation of statistical significance in NLP").

    Args:
        first (`DocumentCounts`): The counts of a model for each label.
        second (`DocumentCounts`): Those of the other model.
        resamples (`int`, *optional*, defaults to 10,000): The number of rounds, and of resamples.
        confidence (`float`, *optional*, defaults to 0.95): The share of the resamples that an interval holds.
        seed (`int`, *optional*, defaults to 0): With the same one, the result is the same.

    Returns:
        `dict[str, Difference]`: Of micro `precision`, `recall` and `f1`, and `macro_precision` and so on.

    Raises:
        ValueError: If labels, documents or gold entities are not the same, there are no documents, or `confidence` is
            not between 0 and 1.
    """
    if first.names != second.names or not np.array_equal(first.counts[..., 2], second.counts[..., 2]):
        raise ValueError("Only counts of the same labels in the same documents can be compared.")
    sums = first.counts.sum(axis=0), second.counts.sum(axis=0)
    scores = [_overall(total) for total in sums]
    observed = scores[0] - scores[1]

    as_far = np.zeros(len(OVERALL), dtype=np.int64)
    # What changes sides takes the difference of the two models' counts with it.
    for moved in _totals(second.counts - first.counts, _toss, resamples, seed):
        shuffled = _overall(sums[0] + moved) - _overall(sums[1] - moved)
        # The same ratio of other integers may differ in its last bits.
        as_far += (np.abs(shuffled) >= np.abs(observed) - 1e-12).sum(axis=0)
    p_values = ((as_far + 1) / (resamples + 1)).tolist()

    both = np.stack([first.counts, second.counts], axis=1)
    resampled = np.concatenate([_overall(total) for total in _totals(both, _resample, resamples, seed)])
    intervals = _intervals(resampled[:, 0] - resampled[:, 1], OVERALL, confidence)
    values = zip(scores[0].tolist(), scores[1].tolist(), intervals.values(), p_values, strict=True)
    return {name: Difference(*value) for name, value in zip(OVERALL, values, strict=True)}


def _totals(counts: NDArray[np.int64], draw: _Draw, rounds: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the sums `(block, ...)` of counts `(D, ...)` in each round, a block of rounds at a time."""
    documents = len(counts)
    if not documents:
        raise ValueError("There are no documents to draw from.")
    generator = np.random.default_rng(seed)
    block = max(_BLOCK // documents, 1)
    for start in range(0, rounds, block):
        times = draw(generator, min(block, rounds - start), documents)
        # Products of floats are fast, and exact for integers of this size.
        yield np.tensordot(times.astype(np.float64), counts.astype(np.float64), axes=1)


def _resample(generator: np.random.Generator, rounds: int, documents: int) -> NDArray[np.int64]:
    """As many documents as there are, drawn with replacement."""
    drawn = generator.integers(documents, size=(rounds, documents)) + np.arange(rounds)[:, None] * documents
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)


def _toss(generator: np.random.Generator, rounds: int, documents: int) -> NDArray[np.int64]:
    """Each document or not, by the toss of a coin."""
    return generator.integers(2, size=(rounds, documents))


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


def _intervals(values: NDArray[np.float64], names: tuple[str, ...], confidence: float) -> dict[str, Interval]:
    """Percentile intervals of the columns of `(rounds, N)` by name."""
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1, got {confidence}.")
    bounds = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return {name: Interval(*bound) for name, bound in zip(names, bounds.T.tolist(), strict=True)}
