"""Right, predicted and gold entities of every document, by type, by length and by density."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Entity, Example
from ..modeling.scripts import UNSPACED_SCRIPTS
from .metrics import SpanCounts, SpanMetrics


LENGTHS = ("< 3", "3-5", ">= 6")
DENSITIES = ("< 0.1", "0.1-0.3", ">= 0.3")
_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED_SCRIPTS)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


@dataclass(frozen=True)
class ScoredText:
    """A text with its gold entities and those predicted for it.

    Args:
        example (`Example`): The text.
        gold (`frozenset[Entity]`): Its distinct gold entities.
        predicted (`Mapping[Entity, float]`): The predicted ones, each with its score.
    """

    example: Example
    gold: frozenset[Entity]
    predicted: Mapping[Entity, float]


def pair_predictions(
    examples: Sequence[Example], predictions: Sequence[Sequence[Mapping[str, Any]]]
) -> list[ScoredText]:
    """Texts with what the pipeline predicted for them; an entity that is given twice counts once.

    Args:
        examples (`Sequence[Example]`): Texts with their entities.
        predictions (`Sequence[Sequence[Mapping]]`): For each text, the entities as the pipeline gives them.

    Raises:
        ValueError: If there are not as many predictions as examples.
    """
    if len(examples) != len(predictions):
        raise ValueError(f"{len(examples)} examples, but predictions for {len(predictions)}.")
    return [
        ScoredText(
            example,
            frozenset(example.entities),
            # Offsets may be NumPy's integers, which JSON does not take.
            {Entity(int(p["start"]), int(p["end"]), p["entity_group"]): p["score"] for p in found},
        )
        for example, found in zip(examples, predictions, strict=True)
    ]


@dataclass(frozen=True)
class DocumentCounts:
    """The entities of each group in each document: how many were right, predicted and gold.

    Args:
        names (`tuple[str, ...]`): The names of the `G` groups.
        counts (`NDArray[np.int64]` of shape `(D, G, 3)`): Right, predicted and gold entities in each of `D` documents.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def metrics(self) -> SpanMetrics:
        """Precision, recall and F1 over all documents."""
        totals = self.counts.sum(axis=0).tolist()
        return SpanMetrics({name: SpanCounts(*total) for name, total in zip(self.names, totals, strict=True)})


def count_by_label(texts: Sequence[ScoredText], labels: Iterable[str] = ()) -> DocumentCounts:
    """Group entities by their types: those of `labels` first, then what others there are, sorted."""
    labels = dict.fromkeys(labels)
    others = {entity.label for text in texts for entity in text.gold | text.predicted.keys()} - labels.keys()
    return _count(texts, (*labels, *sorted(others)), lambda text: lambda entity: entity.label)


def count_by_length(texts: Sequence[ScoredText]) -> DocumentCounts:
    """Group entities by the number of their words, a prediction by its own; a right one has that of its gold entity.

    A word is what stands between whitespace; where it holds ideographs, kana or other characters of scripts without
    blanks, each of these is a word, and so is what stands between them. An entity has the words that it lies in,
    wholly or in part.
    """

    def grouping(text: ScoredText) -> Callable[[Entity], str]:
        words = _Words(text.example.text)
        return lambda entity: LENGTHS[_length_group(len(words.of(entity)))]

    return _count(texts, LENGTHS, grouping)


def count_by_longest(texts: Sequence[ScoredText]) -> DocumentCounts:
    """Group texts by the number of words of their longest gold entity, 0 where there is none.

    These are the groups L-1, L-2 and L-3 of Table 6 (Su et al., 2022): the paper does not say how it gives a sentence
    a length, but made so, the groups have the 120, 161 and 7 sentences of CoNLL04 that it lists. For what a word is,
    see [`count_by_length`].
    """

    def grouping(text: ScoredText) -> Callable[[Entity], str]:
        words = _Words(text.example.text)
        longest = max((len(words.of(entity)) for entity in text.gold), default=0)
        return lambda entity: LENGTHS[_length_group(longest)]

    return _count(texts, LENGTHS, grouping)


def count_by_density(texts: Sequence[ScoredText]) -> DocumentCounts:
    """Group texts by their density: the share of their words that lie in gold entities, each counted once.

    These are the groups D-1, D-2 and D-3 of Table 6 (Su et al., 2022). The paper writes <= 0.1 and <= 0.3, but the 10
    and 172 sentences of CoNLL04 that it lists for the first two are those below 0.1 and below 0.3; its third row
    repeats that of L-1. For what a word is, see [`count_by_length`].
    """

    def grouping(text: ScoredText) -> Callable[[Entity], str]:
        words = _Words(text.example.text)
        covered = {word for entity in text.gold for word in words.of(entity)}
        density = len(covered) / max(len(words.starts), 1)
        return lambda entity: DENSITIES[bisect_right((0.1, 0.3), density)]

    return _count(texts, DENSITIES, grouping)


class _Words:
    """The words of a text, numbered."""

    def __init__(self, text: str) -> None:
        spans = [word.span() for word in _WORD.finditer(text)]
        self.starts = [start for start, _ in spans]
        self.ends = [end for _, end in spans]

    def of(self, entity: Entity) -> range:
        return range(bisect_right(self.ends, entity.start), bisect_left(self.starts, entity.end))


def _length_group(words: int) -> int:
    return bisect_right((3, 6), words)


def _count(
    texts: Sequence[ScoredText], names: tuple[str, ...], grouping: Callable[[ScoredText], Callable[[Entity], str]]
) -> DocumentCounts:
    """Count, given for each text what gives the group of an entity."""
    index = {name: group for group, name in enumerate(names)}
    counts = np.zeros((len(texts), len(names), 3), dtype=np.int64)
    for document, text in zip(counts, texts, strict=True):
        group_of = grouping(text)
        for column, entities in enumerate((text.gold & text.predicted.keys(), text.predicted, text.gold)):
            for entity in entities:
                document[index[group_of(entity)], column] += 1
    return DocumentCounts(names, counts)
