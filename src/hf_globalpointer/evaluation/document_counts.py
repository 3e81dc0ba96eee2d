"""Correct, predicted and gold entities of every document, by label, by length and by density."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Entity
from ..modeling.scripts import UNSPACED_SCRIPTS
from .metrics import SpanCounts, SpanMetrics, count_spans
from .scored_documents import ScoredDocument


LENGTHS = ("< 3", "3-5", ">= 6")
DENSITIES = ("< 0.1", "0.1-0.3", ">= 0.3")
_UNSPACED = "".join(f"{chr(start)}-{chr(end)}" for start, end in UNSPACED_SCRIPTS)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


@dataclass(frozen=True)
class DocumentCounts:
    """The entities of each group in each document: how many were correct, predicted and gold.

    Args:
        names (`tuple[str, ...]`): The names of the `G` groups.
        counts (`NDArray[np.int64]` of shape `(D, G, 3)`): Correct, predicted and gold in each of `D` documents.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def metrics(self) -> SpanMetrics:
        """Precision, recall and F1 over all documents."""
        totals = self.counts.sum(axis=0).tolist()
        return SpanMetrics({name: SpanCounts(*total) for name, total in zip(self.names, totals, strict=True)})


def count_by_label(documents: Sequence[ScoredDocument], labels: Iterable[str] = ()) -> DocumentCounts:
    """Group entities by their labels: those of `labels` first, then the others, sorted."""
    labels = dict.fromkeys(labels)
    others = {entity.label for each in documents for entity in each.gold | each.predicted.keys()} - labels.keys()
    return _count(documents, (*labels, *sorted(others)), lambda _: lambda entity: entity.label)


def count_by_length(documents: Sequence[ScoredDocument]) -> DocumentCounts:
    """Group entities by the number of their words, a prediction by its own; a correct one has that of its gold entity.

    A word is what stands between whitespace; where it holds ideographs, kana or other characters of scripts without
    whitespace, each of these is a word, and so is what stands between them. An entity has the words that it lies in,
    completely or in part.
    """

    def grouping(document: ScoredDocument) -> Callable[[Entity], str]:
        words = _Words(document.example.text)
        return lambda entity: LENGTHS[_length_group(len(words.of(entity)))]

    return _count(documents, LENGTHS, grouping)


def count_by_longest(documents: Sequence[ScoredDocument]) -> DocumentCounts:
    """Group texts by the number of words of their longest gold entity, 0 where there is none.

    These are the groups L-1, L-2 and L-3 of Table 6 (Su et al., 2022): the paper does not say how it gives a sentence
    a length, but made so, the groups have the 120, 161 and 7 sentences of CoNLL04 that it lists. For what a word is,
    see [`count_by_length`].
    """

    def grouping(document: ScoredDocument) -> Callable[[Entity], str]:
        words = _Words(document.example.text)
        longest = max((len(words.of(entity)) for entity in document.gold), default=0)
        return lambda entity: LENGTHS[_length_group(longest)]

    return _count(documents, LENGTHS, grouping)


def count_by_density(documents: Sequence[ScoredDocument]) -> DocumentCounts:
    """Group texts by their density: the share of their words that lie in gold entities, each counted once.

    These are the groups D-1, D-2 and D-3 of Table 6 (Su et al., 2022). The paper writes <= 0.1 and <= 0.3, but the 10
    and 172 sentences of CoNLL04 that it lists for the first two are those below 0.1 and below 0.3; its third row
    repeats that of L-1. For what a word is, see [`count_by_length`].
    """

    def grouping(document: ScoredDocument) -> Callable[[Entity], str]:
        words = _Words(document.example.text)
        covered = {word for entity in document.gold for word in words.of(entity)}
        density = len(covered) / max(len(words.starts), 1)
        return lambda entity: DENSITIES[bisect_right((0.1, 0.3), density)]

    return _count(documents, DENSITIES, grouping)


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
    documents: Sequence[ScoredDocument],
    names: tuple[str, ...],
    grouping: Callable[[ScoredDocument], Callable[[Entity], str]],
) -> DocumentCounts:
    """Count, given for each document what gives the group of an entity."""
    index = {name: group for group, name in enumerate(names)}
    counts = np.zeros((len(documents), len(names), 3), dtype=np.int64)
    for row, document in zip(counts, documents, strict=True):
        for name, group in count_spans(document.gold, document.predicted, grouping(document)).items():
            row[index[name]] = astuple(group)
    return DocumentCounts(names, counts)
