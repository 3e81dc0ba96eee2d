"""What the splits of labeled data hold: counts, overlaps and lengths."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from .examples import Entity, Example


# Of lengths, the smallest up to which this share of them lies.
QUANTILES = {"median": 0.5, "p95": 0.95, "longest": 1.0}


@dataclass
class SplitStatistics:
    """What one split holds.

    Args:
        texts (`int`): Its texts.
        without_entities (`int`): Those that have no entity.
        entities (`Counter[str]`): Distinct entities of each label.
        nested (`int`): Entities inside or around another one, or with its span.
        crossing (`int`): Entities that overlap another one, neither within the other.
        doubly_labeled (`int`): Entities that share their span with one of another label.
        unaligned (`int`): Entities that no sequence of complete tokens spells, where the alignment is known.
        text_characters (`Counter[int]`): How many texts have each length in characters.
        entity_characters (`Counter[int]`): How many entities do.
        text_tokens (`Counter[int]`): How many texts have each length in tokens, special ones included.
        entity_tokens (`Counter[int]`): How many aligned entities have each length in tokens.
    """

    texts: int = 0
    without_entities: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    nested: int = 0
    crossing: int = 0
    doubly_labeled: int = 0
    unaligned: int = 0
    text_characters: Counter[int] = field(default_factory=Counter)
    entity_characters: Counter[int] = field(default_factory=Counter)
    text_tokens: Counter[int] = field(default_factory=Counter)
    entity_tokens: Counter[int] = field(default_factory=Counter)

    @classmethod
    def from_examples(cls, examples: Iterable[Example], unaligned: int = 0) -> Self:
        """Count examples, of whose entities so many are not aligned."""
        statistics = cls(unaligned=unaligned)
        for example in examples:
            statistics.add(example)
        return statistics

    def add(self, example: Example) -> None:
        """Count an example."""
        entities = set(example.entities)
        self.texts += 1
        self.without_entities += not entities
        self.entities.update(entity.label for entity in entities)
        self.text_characters[len(example.text)] += 1
        self.entity_characters.update(entity.end - entity.start for entity in entities)
        overlaps = find_overlaps(entities)
        self.nested += len(overlaps.nested)
        self.crossing += len(overlaps.crossing)
        self.doubly_labeled += len(overlaps.same_span)

    def add_tokens(self, features: Iterable[Mapping[str, Any]]) -> None:
        """Count the tokens of texts and entities, given a feature of [`encode_examples`] for each text."""
        for feature in features:
            self.text_tokens[len(feature["input_ids"])] += 1
            self.entity_tokens.update(end - start + 1 for _, start, end in feature["labels"])

    @property
    def lengths(self) -> dict[str, Counter[int]]:
        """How many texts and entities have each length, in tokens only where there was a tokenizer."""
        lengths = {"text_characters": self.text_characters, "entity_characters": self.entity_characters}
        if self.text_tokens:
            lengths |= {"text_tokens": self.text_tokens, "entity_tokens": self.entity_tokens}
        return lengths

    def to_dict(self) -> dict[str, object]:
        """The counts and the quantiles of lengths, in the types of JSON."""
        return {
            "texts": self.texts,
            "without_entities": self.without_entities,
            "entities": self.entities.total(),
            "nested": self.nested,
            "crossing": self.crossing,
            "doubly_labeled": self.doubly_labeled,
            "labels": dict(self.entities.most_common()),
            "lengths": {
                what: {name: quantile(counts, share) for name, share in QUANTILES.items()}
                for what, counts in self.lengths.items()
            },
        }


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The smallest length up to which at least this share of what was counted lies; 0 where nothing was."""
    wanted = share * sum(counts.values())
    below = 0
    for length in sorted(counts):
        below += counts[length]
        if below >= wanted:
            return length
    return 0


class Overlaps(NamedTuple):
    """The entities of a text that overlap others; one may be in several of these sets.

    Args:
        nested (`set[Entity]`): Those that lie inside another one or around one; also those with the span of another.
        crossing (`set[Entity]`): Those that overlap one though neither lies inside the other.
        same_span (`set[Entity]`): Those with the span of another.
    """

    nested: set[Entity]
    crossing: set[Entity]
    same_span: set[Entity]


def find_overlaps(entities: Iterable[Entity]) -> Overlaps:
    """Look through the distinct entities of a text."""
    found = Overlaps(set(), set(), set())
    reaching: list[Entity] = []
    for entity in sorted(set(entities)):
        reaching = [other for other in reaching if other.end > entity.start]
        for other in reaching:
            if (other.start, other.end) == (entity.start, entity.end):
                found.same_span.update((other, entity))
            is_nested = other.end >= entity.end or other.start == entity.start
            (found.nested if is_nested else found.crossing).update((other, entity))
        reaching.append(entity)
    return found
