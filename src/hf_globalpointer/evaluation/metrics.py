"""Strict span metrics: a prediction counts only if type, start and end are all right."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Example


if TYPE_CHECKING:
    from transformers import EvalPrediction


# What `evaluate.load` takes to load the same scores as a module of the library Evaluate.
SPAN_F1 = str(Path(__file__).with_name("span_f1.py"))


class SpanKey(NamedTuple):
    """What must agree for a prediction to be right."""

    sample: Hashable
    label: str
    start: int
    end: int


@dataclass(frozen=True)
class SpanCounts:
    """How many spans were right, predicted and gold; a ratio over nothing is 0."""

    correct: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        """The share of the predicted spans that is right."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """The share of the gold spans that was found."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.correct / (self.predicted + self.gold) if self.predicted + self.gold else 0.0

    def to_dict(self) -> dict[str, float]:
        """The three ratios by name."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(frozen=True)
class SpanMetrics:
    """Strict precision, recall and F1: of each type, micro and macro.

    Args:
        per_label (`dict[str, SpanCounts]`): The counts of every type.
    """

    per_label: dict[str, SpanCounts]

    @classmethod
    def from_spans(
        cls, gold: Iterable[SpanKey], predicted: Iterable[SpanKey], labels: Iterable[str] = ()
    ) -> "SpanMetrics":
        """Compare two collections of spans; one that occurs twice in a collection counts once.

        Args:
            gold (`Iterable[SpanKey]`): The true spans.
            predicted (`Iterable[SpanKey]`): The predicted ones.
            labels (`Iterable[str]`, *optional*): Types to list first, in this order, whether they occur or not.
        """
        gold, predicted = set(gold), set(predicted)
        counts = [Counter(span.label for span in spans) for spans in (gold & predicted, predicted, gold)]
        order = [*dict.fromkeys(labels), *sorted((counts[1] | counts[2]).keys() - set(labels))]
        return cls({label: SpanCounts(*(count[label] for count in counts)) for label in order})

    @property
    def micro(self) -> SpanCounts:
        """The counts of all types together."""
        counts = self.per_label.values()
        return SpanCounts(
            sum(c.correct for c in counts), sum(c.predicted for c in counts), sum(c.gold for c in counts)
        )

    @property
    def macro(self) -> dict[str, float]:
        """Mean precision, recall and F1 over the types that occur, in the data or among the predictions."""
        present = [counts.to_dict() for counts in self.per_label.values() if counts.gold or counts.predicted]
        names = SpanCounts(0, 0, 0).to_dict()
        return {name: sum(ratios[name] for ratios in present) / max(len(present), 1) for name in names}

    def to_dict(self, per_label: bool = True) -> dict[str, float]:
        """Flat numbers: `precision`, `recall`, `f1` (micro), `macro_f1` and so on; `f1_<type>` and so on."""
        result = self.micro.to_dict() | {f"macro_{name}": value for name, value in self.macro.items()}
        if per_label:
            for label, counts in self.per_label.items():
                result |= {f"{name}_{label}": value for name, value in counts.to_dict().items()}
        return result


def score_predictions(
    examples: Sequence[Example], predictions: Sequence[Sequence[Mapping[str, Any]]], labels: Iterable[str] = ()
) -> SpanMetrics:
    """Compare what the pipeline predicted for texts with their gold entities, in characters.

    Args:
        examples (`Sequence[Example]`): Texts with their entities.
        predictions (`Sequence[Sequence[Mapping]]`): For each text, the entities as the pipeline gives them.
        labels (`Iterable[str]`, *optional*): Types to list first.

    Raises:
        ValueError: If there are not as many predictions as examples.
    """
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} examples, but predictions for {len(predictions)}.")
    pairs = list(zip(examples, predictions, strict=True))
    gold = (SpanKey(i, e.label, e.start, e.end) for i, (example, _) in enumerate(pairs) for e in example.entities)
    predicted = (
        SpanKey(i, p["entity_group"], p["start"], p["end"]) for i, (_, found) in enumerate(pairs) for p in found
    )
    return SpanMetrics.from_spans(gold, predicted, labels)


@dataclass
class ComputeSpanMetrics:
    """`compute_metrics` for the Trainer: takes the spans that a GlobalPointer model predicts, never its logits.

    Args:
        id2label (`Mapping[int, str]`): The types of the model.
        unaligned (`Mapping[str, int]`, *optional*):
            Gold entities of each label that have no row in the labels because they could not be aligned
            (`AlignmentReport.unaligned_counts`); each is counted as not found.
        per_label (`bool`, *optional*, defaults to `True`): Whether to report every type beside micro and macro.
    """

    id2label: Mapping[int, str]
    unaligned: Mapping[str, int] = field(default_factory=dict)
    per_label: bool = True
    # Of the batches so far, and how many samples they had.
    _gold: set[SpanKey] = field(default_factory=set, init=False, repr=False)
    _predicted: set[SpanKey] = field(default_factory=set, init=False, repr=False)
    _samples: int = field(default=0, init=False, repr=False)

    def __call__(self, prediction: "EvalPrediction", compute_result: bool = True) -> dict[str, float]:
        """Score predictions `(N, K, 3)` against `label_ids` `(N, M, 3)`, rows (type, first, last) padded with -100.

        Lists of such arrays, a pair for each batch, are as good (`eval_do_concat_batches=False`).

        Args:
            prediction (`EvalPrediction`): All predictions, or with `batch_eval_metrics=True` those of a batch.
            compute_result (`bool`, *optional*, defaults to `True`): Whether this is the last batch.

        Returns:
            The scores of all batches since the last result; before the last batch, nothing.

        Raises:
            ValueError: If the predictions are not padded span rows.
        """
        batches = zip(_batches(prediction.label_ids), _batches(prediction.predictions), strict=True)
        for gold, predicted in batches:
            # Both before either is kept: after an error, the next evaluation begins with nothing.
            spans = self._spans(gold), self._spans(predicted)
            self._gold |= spans[0]
            self._predicted |= spans[1]
            self._samples += len(gold)
        if not compute_result:
            return {}
        for label, count in self.unaligned.items():
            self._gold |= {SpanKey(("unaligned", index), label, 0, 0) for index in range(count)}
        metrics = SpanMetrics.from_spans(self._gold, self._predicted, self.id2label.values())
        self._gold, self._predicted, self._samples = set(), set(), 0
        return metrics.to_dict(self.per_label)

    def _spans(self, rows: NDArray[np.int64]) -> set[SpanKey]:
        if not isinstance(rows, np.ndarray) or rows.ndim != 3 or rows.shape[2] != 3:
            shape = rows.shape if isinstance(rows, np.ndarray) else type(rows).__name__
            raise ValueError(
                f"Expected span rows of shape (N, K, 3), got {shape}; evaluate with labels, without `output_logits`."
            )
        is_span = rows[..., 0] >= 0
        samples = (is_span.nonzero()[0] + self._samples).tolist()
        return {
            SpanKey(sample, self.id2label[label], first, last)
            for sample, (label, first, last) in zip(samples, rows[is_span].tolist(), strict=True)
        }


def _batches(rows: Any) -> list[Any]:
    """The rows of one batch or of each of many, without regard to what is not rows; a tensor becomes an array."""
    batches = rows if isinstance(rows, list) else [rows]
    return [batch if isinstance(batch, np.ndarray | tuple) else batch.numpy(force=True) for batch in batches]
