"""Texts with their gold entities and with what was predicted for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..data.examples import Entity, Example


@dataclass(frozen=True)
class ScoredDocument:
    """A text with its gold entities and those predicted for it; an entity that is given twice counts once.

    Args:
        example (`Example`): The text with its gold entities.
        predicted (`Mapping[Entity, float]`): The predicted entities, each with its score.
    """

    example: Example
    predicted: Mapping[Entity, float]

    @classmethod
    def from_pipeline(cls, example: Example, predictions: Sequence[Mapping[str, Any]]) -> "ScoredDocument":
        """Take the predictions as the pipeline gives them; one without a score, of another system, has 1."""
        scores = {
            # Offsets may be NumPy's integers, which JSON does not take.
            Entity(int(p["start"]), int(p["end"]), p["entity_group"]): p.get("score", 1.0)
            for p in predictions
        }
        return cls(example, scores)

    @cached_property
    def gold(self) -> frozenset[Entity]:
        """The distinct gold entities."""
        return frozenset(self.example.entities)

    @property
    def missed(self) -> frozenset[Entity]:
        """The gold entities that were not predicted, label and boundaries as they are."""
        return self.gold - self.predicted.keys()


def pair_predictions(
    examples: Sequence[Example], predictions: Sequence[Sequence[Mapping[str, Any]]]
) -> list[ScoredDocument]:
    """Examples with what the pipeline predicted for each.

    Raises:
        ValueError: If there are not as many predictions as examples.
    """
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} examples, but predictions for {len(predictions)}.")
    return [ScoredDocument.from_pipeline(*pair) for pair in zip(examples, predictions, strict=True)]
