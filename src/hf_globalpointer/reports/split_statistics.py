"""What the splits of the training data hold, as the model card tells it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..data import AlignmentReport, Example
from ..data.overlaps import find_overlaps


@dataclass(frozen=True)
class SplitStatistics:
    """What a split of the data holds.

    Args:
        examples (`int`): Its texts.
        entities (`Counter[str]`): Its distinct entities of each type.
        nested (`int`): The entities that lie inside another one or around one.
        unaligned (`int`): The entities that no sequence of complete tokens spells.
    """

    examples: int
    entities: Counter[str]
    nested: int
    unaligned: int

    @classmethod
    def from_examples(cls, examples: Sequence[Example], report: AlignmentReport) -> "SplitStatistics":
        """Count, given the report of the alignment of these examples."""
        distinct = [set(example.entities) for example in examples]
        return cls(
            examples=len(examples),
            entities=Counter(entity.label for entities in distinct for entity in entities),
            nested=sum(len(find_overlaps(entities).nested) for entities in distinct),
            unaligned=len(report.unaligned),
        )
