"""All that there is to say about a model's predictions for labeled texts, in numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..data.examples import Entity, Example
from .calibration import Reliability
from .document_counts import (
    DocumentCounts,
    count_by_density,
    count_by_label,
    count_by_length,
    count_by_longest,
)
from .error_analysis import ErrorAnalysis
from .metrics import SpanCounts, SpanMetrics
from .scored_documents import ScoredDocument, pair_predictions
from .significance import Interval, Intervals, SpanIntervals, bootstrap_intervals


@dataclass(frozen=True)
class Breakdown:
    """Scores by group, with their confidence intervals.

    Args:
        metrics (`SpanMetrics`): The counts of each group.
        intervals (`SpanIntervals`): The 95 % confidence intervals.
    """

    metrics: SpanMetrics
    intervals: SpanIntervals

    @classmethod
    def from_documents(cls, documents: DocumentCounts) -> "Breakdown":
        """Sum the counts of documents and resample them."""
        return cls(documents.metrics, bootstrap_intervals(documents))

    def to_dict(self) -> dict[str, Any]:
        """Counts, ratios and intervals of every group, by name."""
        return {
            name: _scores(counts, self.intervals.per_label[name]) for name, counts in self.metrics.per_label.items()
        }


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on labeled texts, and its errors.

    Args:
        documents (`list[ScoredDocument]`): The texts, with gold entities and predictions.
        types (`Breakdown`): By label.
        lengths (`Breakdown`): By the number of words of the entity, see [`count_by_length`].
        longest (`Breakdown`): By the longest entity of the text, see [`count_by_longest`].
        densities (`Breakdown`): By the density of entities in the text, see [`count_by_density`].
        errors (`ErrorAnalysis`): The errors.
        reliability (`Reliability`): How often predictions are correct, by their probability.
    """

    documents: list[ScoredDocument]
    types: Breakdown
    lengths: Breakdown
    longest: Breakdown
    densities: Breakdown
    errors: ErrorAnalysis
    reliability: Reliability

    @classmethod
    def from_predictions(
        cls,
        examples: Sequence[Example],
        predictions: Sequence[Sequence[Mapping[str, Any]]],
        labels: Iterable[str] = (),
    ) -> "Evaluation":
        """Evaluate what the pipeline predicted for texts.

        Args:
            examples (`Sequence[Example]`): Texts with their entities, one at least.
            predictions (`Sequence[Sequence[Mapping]]`): For each text, the entities as the pipeline gives them.
            labels (`Iterable[str]`, *optional*): Labels to list first.

        Raises:
            ValueError: If there are no examples, or not as many predictions.
        """
        documents = pair_predictions(examples, predictions)
        return cls(
            documents,
            types=Breakdown.from_documents(count_by_label(documents, labels)),
            lengths=Breakdown.from_documents(count_by_length(documents)),
            longest=Breakdown.from_documents(count_by_longest(documents)),
            densities=Breakdown.from_documents(count_by_density(documents)),
            errors=ErrorAnalysis.from_documents(documents),
            reliability=Reliability.from_documents(documents),
        )

    @property
    def labels(self) -> list[str]:
        """All labels, in the order of the tables."""
        return list(self.types.metrics.per_label)

    def to_dict(self) -> dict[str, Any]:
        """Everything, in the types of JSON."""
        metrics, intervals = self.types.metrics, self.types.intervals
        confusion = self.errors.confusion
        return {
            "documents": len(self.documents),
            "micro": _scores(metrics.micro, intervals.micro),
            "macro": _ratios(metrics.macro, intervals.macro),
            "types": self.types.to_dict(),
            "lengths": self.lengths.to_dict(),
            "longest": self.longest.to_dict(),
            "densities": self.densities.to_dict(),
            "boundaries_only": asdict(self.errors.boundaries) | self.errors.boundaries.to_dict(),
            "labels_only": asdict(self.errors.labels) | self.errors.labels.to_dict(),
            "expected_calibration_error": self.reliability.error,
            "reliability": [asdict(each) for each in self.reliability.bins],
            "error_kinds": {str(kind): count for kind, count in self.errors.kinds.items()},
            "confusion": [
                {"gold": gold, "predicted": predicted, "count": confusion[gold, predicted]}
                for gold in (*self.labels, None)
                for predicted in (*self.labels, None)
                if confusion[gold, predicted]
            ],
            "errors": [
                {
                    "kind": str(error.kind),
                    "document": error.document,
                    "id": self.documents[error.document].example.id,
                    "source": self.documents[error.document].example.source,
                    "gold": self._entity(error.document, error.gold),
                    "predicted": self._entity(error.document, error.predicted),
                }
                for error in self.errors.errors
            ],
        }

    def _entity(self, document: int, entity: Entity | None) -> dict[str, Any] | None:
        if entity is None:
            return None
        word = self.documents[document].example.text[entity.start : entity.end]
        return {"start": entity.start, "end": entity.end, "label": entity.label, "word": word}


def _scores(counts: SpanCounts, intervals: Intervals) -> dict[str, Any]:
    return asdict(counts) | _ratios(counts.to_dict(), intervals)


def _ratios(ratios: Mapping[str, float], intervals: Intervals) -> dict[str, Any]:
    """Each ratio with its interval, whose ends are null where there is none."""
    return {
        name: {"value": value, **dict(zip(Interval._fields, intervals[name] or (None, None), strict=True))}
        for name, value in ratios.items()
    }
