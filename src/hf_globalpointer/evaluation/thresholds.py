"""A threshold for each label, chosen on development data so that F1 is highest; never choose one on test data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from os import PathLike
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Example
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from .metrics import SpanCounts, SpanMetrics


Objective = Literal["micro", "label"]

# The probability below which no threshold is looked for.
FLOOR = 0.01
# No trained model comes near this many spans over the floor; it bounds the memory that an untrained one takes.
_MAX_SPANS = 2**16
# Where probabilities end that a number in double precision tells from 1, with room for rounding; a score of 36.
_HIGHEST = 1 - np.finfo(np.float64).eps


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


@dataclass(frozen=True)
class Candidates:
    """What [`collect_candidates`] finds.

    Args:
        per_label (`dict[str, LabelCandidates]`):
            The candidates of each label: all spans above the floor, or above its present threshold if that is lower.
        floor (`float`, *optional*, defaults to 0.01): The lowest probability that a threshold may be moved to.
        score_threshold (`float`, *optional*, defaults to 0.0): `config.score_threshold` of the model.
    """

    per_label: dict[str, LabelCandidates]
    floor: float = FLOOR
    score_threshold: float = 0.0

    @property
    def thresholds(self) -> dict[str, float]:
        """The present thresholds."""
        return {label: one.threshold for label, one in self.per_label.items()}

    def metrics(self, thresholds: Mapping[str, float]) -> SpanMetrics:
        """The metrics of the pipeline with these thresholds, none of them below the floor and the present one.

        Args:
            thresholds (`Mapping[str, float]`): The threshold of every label.
        """
        counts = {}
        for label, one in self.per_label.items():
            predicted = _is_above(one.scores, thresholds[label], self.score_threshold)
            counts[label] = SpanCounts(int((predicted & one.is_gold).sum()), int(predicted.sum()), one.gold)
        return SpanMetrics(counts)


class Curve(NamedTuple):
    """Precision, recall and F1 at every threshold that predicts something: arrays of shape `(C,)`."""

    threshold: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


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
    config = pipe.model.config
    labels = [config.id2label[index] for index in range(config.num_labels)]
    present = dict(zip(labels, pipe.model.label_thresholds(None), strict=True))
    scores: dict[str, list[float]] = {label: [] for label in labels}
    is_gold: dict[str, list[bool]] = {label: [] for label in labels}
    gold: Counter[str] = Counter()
    predictions = pipe(
        (example.text for example in examples),
        batch_size=batch_size,
        threshold={label: min(floor, threshold) for label, threshold in present.items()},
        max_spans=_MAX_SPANS,
    )
    for example, found in zip(examples, predictions, strict=True):
        entities = {(entity.start, entity.end, entity.label) for entity in example.entities}
        gold.update(label for *_, label in entities)
        for span in found:
            scores[span["entity_group"]].append(span["score"])
            is_gold[span["entity_group"]].append((span["start"], span["end"], span["entity_group"]) in entities)
    if unknown := gold.keys() - set(labels):
        raise ValueError(f"The labels {sorted(unknown)} are none of the model's labels {labels}.")
    per_label = {
        label: LabelCandidates(np.array(scores[label]), np.array(is_gold[label], bool), gold[label], present[label])
        for label in labels
    }
    return Candidates(per_label, floor, config.score_threshold)


def best_thresholds(candidates: Candidates, objective: Objective = "micro") -> dict[str, float]:
    """The thresholds with the highest F1 on the candidates: no others of the labels with gold entities give a higher.

    Every cut between two neighboring scores of a label is considered, down to the floor, and its present threshold.
    Of cuts that are equally good it is the present one that is taken, or else the one nearest to it in logits. A label
    without candidates keeps its threshold, and so does one without gold entities: data that lack it would silence it.

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
    cuts = [_choices(one, candidates) for one in candidates.per_label.values()]
    if objective == "label":
        pairs = zip(cuts, candidates.per_label.values(), strict=True)
        chosen = [int(np.argmax(2 * cut.correct / np.maximum(cut.predicted + one.gold, 1))) for cut, one in pairs]
    elif objective == "micro":
        chosen = _dinkelbach(cuts, sum(one.gold for one in candidates.per_label.values()))
    else:
        raise ValueError(f'`objective` must be "micro" or "label", got {objective!r}.')
    best = (float(cut.thresholds[index]) for cut, index in zip(cuts, chosen, strict=True))
    return dict(zip(candidates.per_label, best, strict=True))


def precision_recall_curve(candidates: Candidates, label: str | None = None) -> Curve:
    """Precision, recall and F1 at every cut between two neighboring scores, by rising threshold.

    Args:
        candidates (`Candidates`): As [`collect_candidates`] returns.
        label (`str`, *optional*): A label; without one, the micro-averages of one threshold for all labels.
    """
    some = list(candidates.per_label.values()) if label is None else [candidates.per_label[label]]
    scores, is_gold = (np.concatenate(part) for part in zip(*((one.scores, one.is_gold) for one in some), strict=True))
    gold = sum(one.gold for one in some)
    # Below the floor there are only the candidates of labels with a low threshold.
    above = scores > candidates.floor
    thresholds, predicted, correct = _cuts(scores[above], is_gold[above], candidates.floor, candidates.score_threshold)
    something = predicted > 0
    thresholds, predicted, correct = thresholds[something], predicted[something], correct[something]
    return Curve(thresholds, correct / predicted, correct / max(gold, 1), 2 * correct / (predicted + gold))


def plot_curves(candidates: Candidates, thresholds: Mapping[str, float], path: str | PathLike[str]) -> None:
    """Draw the precision-recall curve of every label, and the micro-averaged one of a threshold common to all.

    The present thresholds are marked on them as "before", others as "after"; those of the micro-average may differ
    from label to label, and so lie off its curve.

    Args:
        candidates (`Candidates`): As [`collect_candidates`] returns.
        thresholds (`Mapping[str, float]`): The thresholds to mark as "after".
        path (`str` or `os.PathLike`): The file; its ending says the format, such as .png or .svg.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed: `pip install 'hf-globalpointer[plot]'`.
    """
    from matplotlib.figure import Figure

    before, after = candidates.metrics(candidates.thresholds), candidates.metrics(thresholds)
    panels: list[str | None] = [*candidates.per_label, None]
    columns = min(len(panels), 4)
    rows = ceil(len(panels) / columns)
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows), layout="constrained")
    for place, label in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place, aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        # A label is no formula, whatever signs it holds.
        axes.set_title("all labels (micro)" if label is None else label, parse_math=False)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.grid(alpha=0.3)
        curve = precision_recall_curve(candidates, label)
        axes.plot(curve.recall, curve.precision, color="0.4", linewidth=1.2)
        for name, marker, metrics in (("before", "o", before), ("after", "D", after)):
            counts = metrics.micro if label is None else metrics.per_label[label]
            axes.plot(counts.recall, counts.precision, marker, alpha=0.8, label=f"{name}: F1 {counts.f1:.4f}")
        axes.legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=150)


class _Cuts(NamedTuple):
    """Thresholds of a label, the number of candidates above each, and that of the right ones: arrays `(C,)`."""

    thresholds: NDArray[np.float64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.int64]


def _cuts(scores: NDArray[np.float64], is_gold: NDArray[np.bool_], floor: float, score_threshold: float) -> _Cuts:
    """A cut between each two neighboring distinct scores, below the lowest and above the highest, in rising order.

    The threshold lies midway in logits; that above the highest score, one logit higher. Cuts are left out where no
    float32, in which the model compares scores, lies between the two, and where both probabilities are 1.
    """
    values, group = np.unique(scores, return_inverse=True)
    if not len(values):
        return _Cuts(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    size = np.bincount(group, minlength=len(values))
    right = np.bincount(group[is_gold], minlength=len(values))
    predicted, correct = (np.append(counts[::-1].cumsum()[::-1], 0) for counts in (size, right))
    logits = _logit(np.minimum([floor, *values], _HIGHEST))
    logits = np.append(logits, logits[-1] + 2)
    thresholds = _sigmoid((logits[:-1] + logits[1:]) / 2)
    bounds, limits = _compared(logits, score_threshold), _compared(_logit(thresholds), score_threshold)
    apart = (bounds[:-1] < limits) & (limits < bounds[1:])
    return _Cuts(thresholds[apart], predicted[apart], correct[apart])


def _choices(one: LabelCandidates, candidates: Candidates) -> _Cuts:
    """The cuts that a label may choose from: first the present one, then the others from the nearest to it on."""
    above = _is_above(one.scores, one.threshold, candidates.score_threshold)
    present = _Cuts(np.array([one.threshold]), np.array([above.sum()]), np.array([(above & one.is_gold).sum()]))
    if one.gold == 0:
        return present
    floor = min(candidates.floor, one.threshold)
    cuts = _cuts(one.scores, one.is_gold, floor, candidates.score_threshold)
    order = np.abs(_logit(cuts.thresholds) - _logit(one.threshold)).argsort(kind="stable")
    return _Cuts(*(np.append(first, rest[order]) for first, rest in zip(present, cuts, strict=True)))


def _dinkelbach(cuts: Sequence[_Cuts], gold: int) -> list[int]:
    """The index of a cut for each label, so that 2 TP / (predicted + gold) is highest; of equals, the first ones."""
    numerator, denominator = 0, 1
    while True:
        chosen = [int(np.argmax(2 * cut.correct * denominator - numerator * cut.predicted)) for cut in cuts]
        correct = sum(int(cut.correct[index]) for cut, index in zip(cuts, chosen, strict=True))
        predicted = sum(int(cut.predicted[index]) for cut, index in zip(cuts, chosen, strict=True))
        if 2 * correct * denominator <= numerator * (predicted + gold):
            return chosen
        numerator, denominator = 2 * correct, predicted + gold


def _is_above(scores: NDArray[np.float64], threshold: float, score_threshold: float) -> NDArray[np.bool_]:
    """Which probabilities are above a threshold, as the model finds it."""
    return _compared(_logit(scores), score_threshold) > _compared(_logit(threshold), score_threshold)


def _compared(logit: NDArray[np.float64], score_threshold: float) -> NDArray[np.float32]:
    """The score of a span, or the limit of a threshold, in the form that the model compares: float32, s_TH added."""
    return np.asarray(logit + score_threshold, np.float32)


def _logit(probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probability) - np.log1p(np.negative(probability)))


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logit)))
