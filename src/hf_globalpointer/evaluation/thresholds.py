"""A threshold for each label, chosen on development data so that F1 is highest; never choose one on test data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Example
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from ..modeling.span_probabilities import HIGHEST
from .metrics import SpanCounts, SpanMetrics
from .scored_documents import ScoredDocument
from .search_limits import FLOOR, MAX_SPANS


Objective = Literal["micro", "label"]

# The parts of the data that thresholds are tried on, each with those chosen on all others, and on how many of them
# these must be better: by chance alone, they would be in one case of 18.
FOLDS, LEAST_BETTER = 10, 8
# How far, in logits, a threshold is from any score: farther than float32, in which the model compares them, rounds.
_MARGIN = 1e-4


@dataclass(frozen=True)
class LabelCandidates:
    """The spans that one label could be predicted for, were its threshold low enough.

    Args:
        scores (`NDArray[np.float64]` of shape `(N,)`): The probability of each, as the pipeline gives it.
        is_gold (`NDArray[np.bool_]` of shape `(N,)`): Whether each is a gold entity.
        gold (`int`): The number of gold entities of the label, those without a candidate included.
        threshold (`float`): The label's present threshold.
    """

    scores: NDArray[np.float64]
    is_gold: NDArray[np.bool_]
    gold: int
    threshold: float

    def counts(self, threshold: float) -> SpanCounts:
        """The counts with a threshold that is not below the floor and the present one."""
        predicted = self.scores > threshold
        return SpanCounts(int((predicted & self.is_gold).sum()), int(predicted.sum()), self.gold)


@dataclass(frozen=True)
class Candidates:
    """What [`collect_candidates`] finds.

    Args:
        per_label (`dict[str, LabelCandidates]`):
            The candidates of each label: all spans above the floor, or above its present threshold if that is lower.
        floor (`float`, *optional*, defaults to 0.01): The lowest probability that a threshold may be moved to.
        floors (`Mapping[str, float]`, *optional*): That of each label, where they differ; `floor` is the highest.
    """

    per_label: dict[str, LabelCandidates]
    floor: float = FLOOR
    floors: Mapping[str, float] | None = None

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Those of several parts of the data together, which one model gave, with one floor."""
        per_label = {
            label: LabelCandidates(
                np.concatenate([part.per_label[label].scores for part in parts]),
                np.concatenate([part.per_label[label].is_gold for part in parts]),
                sum(part.per_label[label].gold for part in parts),
                first.threshold,
            )
            for label, first in parts[0].per_label.items()
        }
        return cls(per_label, parts[0].floor)

    def floor_of(self, label: str) -> float:
        """The lowest probability that the threshold of a label may be moved to."""
        return self.floor if self.floors is None else self.floors[label]

    @property
    def thresholds(self) -> dict[str, float]:
        """The present thresholds."""
        return {label: each.threshold for label, each in self.per_label.items()}

    def metrics(self, thresholds: Mapping[str, float]) -> SpanMetrics:
        """The metrics of the pipeline with these thresholds, none of them below the floor and the present one.

        Args:
            thresholds (`Mapping[str, float]`): The threshold of every label.
        """
        return SpanMetrics({label: each.counts(thresholds[label]) for label, each in self.per_label.items()})


def collect_candidates(
    pipe: GlobalPointerNerPipeline, examples: Sequence[Example], batch_size: int = 32, floor: float = FLOOR
) -> Candidates:
    """Run a pipeline once over labeled texts, with thresholds low enough to see all that could be predicted.

    By the rule `config.overlap`, what a better span keeps away is no candidate. That is exact for one threshold of all
    labels, and nearly so for several: a span that no longer passes its own may have kept away one that passes its.

    Args:
        pipe (`GlobalPointerNerPipeline`): A pipeline made without a threshold, `overlap` or `top_k` of its own.
        examples (`Sequence[Example]`): Development data. What tokens cannot express is gold that is never found.
        batch_size (`int`, *optional*, defaults to 32): Windows in a batch.
        floor (`float`, *optional*, defaults to 0.01): Probability above which a span is a candidate.

    Raises:
        ValueError: If an entity has a label that the model does not know, or `floor` is not in (0, 1).
    """
    labels = pipe.labels
    present = dict(zip(labels, pipe.model.label_thresholds(None), strict=True))
    if unknown := {entity.label for example in examples for entity in example.entities} - set(labels):
        raise ValueError(f"The labels {sorted(unknown)} are none of the model's labels {labels}.")
    scores: dict[str, list[float]] = {label: [] for label in labels}
    is_gold: dict[str, list[bool]] = {label: [] for label in labels}
    gold: Counter[str] = Counter()
    predictions = pipe(
        (example.text for example in examples),
        batch_size=batch_size,
        threshold={label: min(floor, threshold) for label, threshold in present.items()},
        max_spans=MAX_SPANS,
    )
    for example, found in zip(examples, predictions, strict=True):
        document = ScoredDocument.from_pipeline(example, found)
        gold.update(entity.label for entity in document.gold)
        for entity, score in document.predicted.items():
            scores[entity.label].append(score)
            is_gold[entity.label].append(entity in document.gold)
    per_label = {
        label: LabelCandidates(np.array(scores[label]), np.array(is_gold[label], bool), gold[label], present[label])
        for label in labels
    }
    return Candidates(per_label, floor)


def best_thresholds(candidates: Candidates, objective: Objective = "micro") -> dict[str, float]:
    """The thresholds with the highest F1 on the candidates, of all cuts that rounding cannot blur.

    Every cut between two neighboring scores of a label that are 0.0002 logits apart or more is considered, down to the
    floor, and its present threshold. Of cuts that are equally good it is the present one that is taken, or else the
    one nearest to it in logits. A label without candidates keeps its threshold, and so does one without gold entities:
    data that lack it would silence it.

    Micro-F1 is the ratio 2 TP / (predicted + gold) of two sums over the labels, and the highest one is found by the
    method of Dinkelbach (1967), On nonlinear fractional programming, Management Science 13(7), 492-498: for a ratio r,
    every label by itself takes the cut with the highest 2 TP - r predicted; these cuts have a higher ratio, or else
    none has. All in integers, so that nothing is rounded.

    Args:
        candidates (`Candidates`): As [`collect_candidates`] returns.
        objective (`str`, *optional*, defaults to `"micro"`):
            `"micro"` for the highest micro-F1, `"label"` for the highest F1 of each label, and so macro-F1.

    Returns:
        `dict[str, float]`: A threshold in (0, 1) for each label.

    Raises:
        ValueError: If `objective` is neither.
    """
    cuts = {label: _choices(each, candidates.floor_of(label)) for label, each in candidates.per_label.items()}
    gold = {label: each.gold for label, each in candidates.per_label.items()}
    if objective == "micro":
        return _maximize(cuts, sum(gold.values()))
    if objective == "label":
        return {label: _maximize({label: cuts[label]}, gold[label])[label] for label in cuts}
    raise ValueError(f'`objective` must be "micro" or "label", got {objective!r}.')


def held_out_metrics(parts: Sequence[Candidates], objective: Objective = "micro") -> list[SpanMetrics]:
    """The metrics of thresholds on texts that they were not chosen on: on each part, with those of all others.

    Args:
        parts (`Sequence[Candidates]`): The candidates of at least two parts of the data.
        objective (`str`, *optional*, defaults to `"micro"`): As of [`best_thresholds`].
    """
    others = (Candidates.merged([*parts[:index], *parts[index + 1 :]]) for index in range(len(parts)))
    return [part.metrics(best_thresholds(rest, objective)) for part, rest in zip(parts, others, strict=True)]


class Cuts(NamedTuple):
    """Thresholds of a label, the number of candidates above each, and that of the correct ones: arrays `(C,)`."""

    thresholds: NDArray[np.float64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.int64]

    @classmethod
    def between(cls, scores: NDArray[np.float64], is_gold: NDArray[np.bool_], floor: float) -> "Cuts":
        """A cut between each two neighboring distinct scores, below the lowest and above the highest, in rising order.

        The threshold lies midway in logits; that above the highest score, one logit higher. A cut is left out where
        rounding could put a score on its other side: where scores are hardly apart, or next to 1.

        Example:
            Scores of 0.5, 0.5 (gold) and 0.88 (gold), in logits 0, 0 and 2, with the floor at 0.12, in logits -2, have
            cuts at the logits -1, 1 and 3, with 3, 1 and 0 predicted and 2, 1 and 0 correct.
        """
        values, group = np.unique(scores, return_inverse=True)
        of_value = np.bincount(group, minlength=len(values)), np.bincount(group[is_gold], minlength=len(values))
        predicted, correct = (np.append(counts[::-1].cumsum()[::-1], 0) for counts in of_value)
        logits = logit(np.minimum([floor, *values], HIGHEST))
        logits = np.append(logits, logits[-1] + 2)
        thresholds = 1 / (1 + np.exp(-(logits[:-1] + logits[1:]) / 2))
        # Near 1, a threshold is rounded so much that it may not lie between the scores any more.
        rounded = logit(thresholds)
        apart = (rounded - logits[:-1] > _MARGIN) & (logits[1:] - rounded > _MARGIN)
        return cls(thresholds[apart], predicted[apart], correct[apart])


def _choices(candidates: LabelCandidates, floor: float) -> Cuts:
    """The cuts that a label may choose from: first the present one, then the others from the nearest to it on."""
    counts = candidates.counts(candidates.threshold)
    present = Cuts(np.array([candidates.threshold]), np.array([counts.predicted]), np.array([counts.correct]))
    if candidates.gold == 0:
        return present
    cuts = Cuts.between(candidates.scores, candidates.is_gold, min(floor, candidates.threshold))
    order = np.abs(logit(cuts.thresholds) - logit(candidates.threshold)).argsort(kind="stable")
    return Cuts(*(np.append(first, rest[order]) for first, rest in zip(present, cuts, strict=True)))


def _maximize(cuts: Mapping[str, Cuts], gold: int) -> dict[str, float]:
    """The threshold of each label with which 2 TP / (predicted + gold) of all is highest; of equals, the first."""
    numerator, denominator = 0, 1
    while True:
        best = {
            label: int(np.argmax(2 * cut.correct * denominator - numerator * cut.predicted))
            for label, cut in cuts.items()
        }
        correct = sum(int(cuts[label].correct[index]) for label, index in best.items())
        predicted = sum(int(cuts[label].predicted[index]) for label, index in best.items())
        if 2 * correct * denominator <= numerator * (predicted + gold):
            return {label: float(cuts[label].thresholds[index]) for label, index in best.items()}
        numerator, denominator = 2 * correct, predicted + gold


def logit(probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The logarithm of the odds."""
    # A threshold that is rounded to 1 has an infinite one.
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probability) - np.log1p(np.negative(probability)))
