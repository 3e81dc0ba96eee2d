"""Strict span metrics: a prediction is correct only if label, start and end all are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Entity, Example
from .scored_documents import pair_predictions


if TYPE_CHECKING:
    from transformers import EvalPrediction


# What `evaluate.load` takes to load the same scores as a module of the library Evaluate.
SPAN_F1 = str(Path(__file__).with_name("span_f1.py"))

_Span = TypeVar("_Span", bound=Hashable)


@dataclass(frozen=True)
class SpanCounts:
    """How many spans were correct, predicted and gold; a ratio over nothing is 0."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def __add__(self, other: "SpanCounts") -> "SpanCounts":
        return SpanCounts(self.correct + other.correct, self.predicted + other.predicted, self.gold + other.gold)

    @property
    def precision(self) -> float:
        """The share of the predicted spans that is correct."""
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


def count_spans(
    gold: Iterable[_Span], predicted: Iterable[_Span], group_of: Callable[[_Span], str]
) -> dict[str, SpanCounts]:
    """Count the correct, predicted and gold spans of each group; a span that is given twice counts once.

    Args:
        gold (`Iterable`): Gold spans, in a form in which those that agree are equal.
        predicted (`Iterable`): Predicted spans in the same form.
        group_of (`Callable`): Gives the group of a span, such as its label.
    """
    gold, predicted = set(gold), set(predicted)
    correct, found, wanted = (Counter(map(group_of, spans)) for spans in (gold & predicted, predicted, gold))
    return {group: SpanCounts(correct[group], found[group], wanted[group]) for group in found | wanted}


@dataclass(frozen=True)
class SpanMetrics:
    """Strict precision, recall and F1: of each label, micro and macro.

    Args:
        per_label (`dict[str, SpanCounts]`): The counts of every label.
    """

    per_label: dict[str, SpanCounts]

    @classmethod
    def from_documents(
        cls, gold: Iterable[Iterable[Entity]], predicted: Iterable[Iterable[Entity]], labels: Iterable[str] = ()
    ) -> "SpanMetrics":
        """Compare the entities of documents; one that occurs twice in a document counts once.

        Args:
            gold (`Iterable[Iterable[Entity]]`): The gold entities of each document.
            predicted (`Iterable[Iterable[Entity]]`): The predicted entities of the same documents.
            labels (`Iterable[str]`, *optional*): Labels to list first, in this order, whether they occur or not.
        """
        counts = count_spans(_numbered(gold), _numbered(predicted), lambda span: span[1].label)
        return cls.ordered(counts, labels)

    @classmethod
    def ordered(cls, counts: Mapping[str, SpanCounts], labels: Iterable[str]) -> "SpanMetrics":
        """The counts of `labels` in this order, zero where there are none, then of the other labels, sorted."""
        labels = dict.fromkeys(labels)
        order = [*labels, *sorted(counts.keys() - labels.keys())]
        return cls({label: counts.get(label, SpanCounts()) for label in order})

    @property
    def micro(self) -> SpanCounts:
        """The counts of all labels together."""
        return sum(self.per_label.values(), SpanCounts())

    @property
    def macro(self) -> dict[str, float]:
        """Mean precision, recall and F1 over the labels that occur, in the data or among the predictions."""
        present = [counts.to_dict() for counts in self.per_label.values() if counts.gold or counts.predicted]
        names = SpanCounts().to_dict()
        return {name: sum(ratios[name] for ratios in present) / max(len(present), 1) for name in names}

    def to_dict(self, per_label: bool = True) -> dict[str, float]:
        """Flat numbers: `precision`, `recall`, `f1` (micro), `macro_f1` and so on; `f1_<label>` and so on."""
        result = self.micro.to_dict() | {f"macro_{name}": value for name, value in self.macro.items()}
        if per_label:
            for label, counts in self.per_label.items():
                result |= {f"{name}_{label}": value for name, value in counts.to_dict().items()}
        return result


def _numbered(documents: Iterable[Iterable[Entity]]) -> Iterator[tuple[int, Entity]]:
    return ((index, entity) for index, entities in enumerate(documents) for entity in entities)


def score_predictions(
    examples: Sequence[Example], predictions: Sequence[Sequence[Mapping[str, Any]]], labels: Iterable[str] = ()
) -> SpanMetrics:
    """Compare what the pipeline predicted for texts with their gold entities, in characters.

    Args:
        examples (`Sequence[Example]`): Texts with their entities.
        predictions (`Sequence[Sequence[Mapping]]`): For each text, the entities as the pipeline gives them.
        labels (`Iterable[str]`, *optional*): Labels to list first.

    Raises:
        ValueError: If there are not as many predictions as examples.
    """
    documents = pair_predictions(examples, predictions)
    return SpanMetrics.from_documents((d.gold for d in documents), (d.predicted for d in documents), labels)


@dataclass
class ComputeSpanMetrics:
    """`compute_metrics` for the Trainer: takes the spans that a GlobalPointer model predicts, never its logits.

    Args:
        id2label (`Mapping[int, str]`): The labels of the model.
        unaligned (`Mapping[str, int]`, *optional*):
            Gold entities of each label that have no row in the labels because they could not be aligned
            (`AlignmentReport.unaligned_counts`); each is counted as not found.
        per_label (`bool`, *optional*, defaults to `True`): Whether to report every label beside micro and macro.
    """

    id2label: Mapping[int, str]
    unaligned: Mapping[str, int] = field(default_factory=dict)
    per_label: bool = True
    # Of the batches so far.
    _counts: defaultdict[str, SpanCounts] = field(
        default_factory=lambda: defaultdict(SpanCounts), init=False, repr=False
    )

    def __call__(self, prediction: "EvalPrediction", compute_result: bool = True) -> dict[str, float]:
        """Score predictions `(N, K, 3)` against `label_ids` `(N, M, 3)`, padded with -100.

        The last dimension is (label, start_token, end_token). Lists of such arrays, a pair for each batch, are as good
        (`eval_do_concat_batches=False`).

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
            counts = count_spans(_spans(gold), _spans(predicted), lambda span: self.id2label[span[1]])
            for label, each in counts.items():
                self._counts[label] += each
        if not compute_result:
            return {}
        for label, count in self.unaligned.items():
            self._counts[label] += SpanCounts(gold=count)
        metrics = SpanMetrics.ordered(self._counts, self.id2label.values())
        self._counts = defaultdict(SpanCounts)
        return metrics.to_dict(self.per_label)


def _spans(rows: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    """Batch row, label, start token and end token of each span in `(N, K, 3)`."""
    if not isinstance(rows, np.ndarray) or rows.ndim != 3 or rows.shape[2] != 3:
        shape = rows.shape if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ValueError(
            f"Expected span rows of shape (N, K, 3), got {shape}; evaluate with labels, without `output_logits`."
        )
    is_span = rows[..., 0] >= 0
    return list(zip(is_span.nonzero()[0].tolist(), *rows[is_span].T.tolist(), strict=True))


def _batches(rows: Any) -> list[Any]:
    """The rows of one batch or of each of many, without regard to what is not rows; a tensor becomes an array."""
    batches = rows if isinstance(rows, list) else [rows]
    return [batch if isinstance(batch, np.ndarray | tuple) else batch.numpy(force=True) for batch in batches]
