"""What kinds of errors a model makes, each gold and each predicted entity counted once."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..data.examples import Entity
from .metrics import SpanCounts, SpanMetrics
from .scored_documents import ScoredDocument


class ErrorKind(StrEnum):
    """In what a prediction differs from the gold entity that it is matched with, if with one."""

    wrong_label = "wrong label"
    wrong_boundary = "wrong boundary"
    wrong_both = "wrong label and boundary"
    missed = "missed"
    spurious = "spurious"


@dataclass(frozen=True)
class SpanError:
    """An error.

    Args:
        kind (`ErrorKind`): Its kind.
        document (`int`): The position of its text among those analyzed.
        gold (`Entity`, *optional*): The gold entity; none where the prediction is spurious.
        predicted (`Entity`, *optional*): The prediction; none where the gold entity is missed.
    """

    kind: ErrorKind
    document: int
    gold: Entity | None
    predicted: Entity | None

    @property
    def labels(self) -> tuple[str | None, str | None]:
        """The label of the gold entity and that of the prediction."""
        return self.gold.label if self.gold else None, self.predicted.label if self.predicted else None


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of a model, and the numbers of entities that it got correct.

    Args:
        errors (`list[SpanError]`): The errors, by document, in it by kind, and those of a kind by place.
        correct (`Counter[str]`): The correct predictions of each label.
        boundaries (`SpanCounts`): The counts where start and end must be correct and labels do not matter: of distinct
            spans. This is the exact boundary score of SemEval-2013 task 9 (Segura-Bedmar et al., 2013).
        labels (`SpanCounts`): The counts where the label must be correct and boundaries need but overlap: as many gold
            entities as can be are each matched with a prediction of their own. This is the type score of the same
            task, with a matching that another prediction can only add to.
    """

    errors: list[SpanError]
    correct: Counter[str]
    boundaries: SpanCounts
    labels: SpanCounts

    @classmethod
    def from_documents(cls, documents: Sequence[ScoredDocument]) -> "ErrorAnalysis":
        """Match the predictions of each document with its gold entities, one with one; see [`match_entities`]."""
        errors = [
            SpanError(kind, index, gold, predicted)
            for index, document in enumerate(documents)
            for kind, gold, predicted in match_entities(document.gold, document.predicted.keys())
        ]
        correct = Counter(e.label for document in documents for e in document.gold & document.predicted.keys())
        return cls(errors, correct, _count_boundaries(documents), _count_labels(documents))

    @property
    def kinds(self) -> dict[ErrorKind, int]:
        """How many errors there are of each kind."""
        counts = Counter(error.kind for error in self.errors)
        return {kind: counts[kind] for kind in ErrorKind}

    @property
    def confusion(self) -> Counter[tuple[str | None, str | None]]:
        """How often a gold label was predicted as which one, where start and end are correct.

        A gold entity that has no prediction on its very span is under `(label, None)`, and such a prediction under
        `(None, label)`: wrong boundaries count as both.
        """
        counts: Counter[tuple[str | None, str | None]] = Counter()
        for label, count in self.correct.items():
            counts[label, label] = count
        for error in self.errors:
            gold, predicted = error.labels
            if error.kind is ErrorKind.wrong_label:
                counts[gold, predicted] += 1
            else:
                counts.update([(gold, None)] * (gold is not None) + [(None, predicted)] * (predicted is not None))
        return counts

    def frequent(self) -> list[tuple[ErrorKind, str | None, str | None, int]]:
        """Kind, gold label and predicted label of the errors, and how many there are: the most frequent first."""
        counts = Counter((error.kind, *error.labels) for error in self.errors)
        order = list(ErrorKind)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], order.index(item[0][0]), str(item[0][1:])))
        return [(*key, count) for key, count in ranked]


def match_entities(
    gold: Collection[Entity], predicted: Collection[Entity]
) -> Iterator[tuple[ErrorKind, Entity | None, Entity | None]]:
    """Yield the errors in one text: each entity is in one pair, or stands alone.

    What is correct is set aside. Of the rest are matched, one with one:

    1. those of the same span with different labels, in the order of the labels;
    2. those of the same label that overlap;
    3. those of different labels that overlap.

    Of those that overlap, the pairs with the largest overlap are taken first: characters in both over characters in
    either. Of pairs with the same overlap, that with the gold entity that starts first is taken, then that whose gold
    entity ends first, then by its label, then in the same way by the prediction. Gold entities that remain are missed,
    and predictions that remain are spurious.

    Args:
        gold (`Collection[Entity]`): The distinct gold entities.
        predicted (`Collection[Entity]`): The distinct predictions.
    """
    correct = set(gold) & set(predicted)
    missed, spurious = sorted(set(gold) - correct), sorted(set(predicted) - correct)
    for kind, candidates in (
        (ErrorKind.wrong_label, _same_span),
        (ErrorKind.wrong_boundary, _overlapping_of_a_label),
        (ErrorKind.wrong_both, _overlapping),
    ):
        pairs: dict[Entity, Entity] = {}
        taken: set[Entity] = set()
        for gold_entity, prediction in candidates(missed, spurious):
            if gold_entity not in pairs and prediction not in taken:
                pairs[gold_entity] = prediction
                taken.add(prediction)
        yield from ((kind, *pair) for pair in sorted(pairs.items()))
        missed = [entity for entity in missed if entity not in pairs]
        spurious = [entity for entity in spurious if entity not in taken]
    yield from ((ErrorKind.missed, entity, None) for entity in missed)
    yield from ((ErrorKind.spurious, None, entity) for entity in spurious)


def _same_span(gold: list[Entity], predicted: list[Entity]) -> list[tuple[Entity, Entity]]:
    """Sorted entities that have the same span, in pairs."""
    by_span: defaultdict[tuple[int, int], list[Entity]] = defaultdict(list)
    for entity in predicted:
        by_span[entity.start, entity.end].append(entity)
    return [(g, p) for g in gold for p in by_span[g.start, g.end]]


def _overlapping(gold: list[Entity], predicted: list[Entity]) -> list[tuple[Entity, Entity]]:
    """Sorted entities that overlap, in pairs, those with the largest overlap first."""
    starts = [entity.start for entity in predicted]
    longest = max((entity.end - entity.start for entity in predicted), default=0)
    pairs = []
    for g in gold:
        # Only these start near enough to touch it.
        for p in predicted[bisect_right(starts, g.start - longest) : bisect_left(starts, g.end)]:
            intersection = min(g.end, p.end) - max(g.start, p.start)
            if intersection > 0:
                union = max(g.end, p.end) - min(g.start, p.start)
                pairs.append((-intersection / union, g, p))
    return [(g, p) for _, g, p in sorted(pairs)]


def _overlapping_of_a_label(gold: list[Entity], predicted: list[Entity]) -> list[tuple[Entity, Entity]]:
    return [(g, p) for g, p in _overlapping(gold, predicted) if g.label == p.label]


def _count_boundaries(documents: Sequence[ScoredDocument]) -> SpanCounts:
    """Count distinct spans: entities without their labels."""
    gold = ([Entity(e.start, e.end, "") for e in document.gold] for document in documents)
    predicted = ([Entity(e.start, e.end, "") for e in document.predicted] for document in documents)
    return SpanMetrics.from_documents(gold, predicted).micro


def _count_labels(documents: Sequence[ScoredDocument]) -> SpanCounts:
    """Count pairs of one label that overlap."""
    total = SpanCounts()
    for document in documents:
        for label in {entity.label for entity in (*document.gold, *document.predicted)}:
            gold, predicted = ([e for e in side if e.label == label] for side in (document.gold, document.predicted))
            total += SpanCounts(_most_pairs(gold, predicted), len(predicted), len(gold))
    return total


def _most_pairs(gold: Sequence[Entity], predicted: Sequence[Entity]) -> int:
    """The most pairs of a gold entity and a prediction that overlap, one with one.

    Whichever ends first is paired with the one that ends first of those that it overlaps. All of these hold its last
    character, so that they overlap one another, and what takes another one in its place can take this one too.
    """
    spans = sorted((e.end, e.start, side) for side, entities in enumerate((gold, predicted)) for e in entities)
    longest = max((end - start for end, start, _ in spans), default=0)
    paired: set[int] = set()
    for index, (end, _, side) in enumerate(spans):
        if index in paired:
            continue
        for other in range(index + 1, len(spans)):
            other_end, other_start, other_side = spans[other]
            if other_end >= end + longest:
                break
            if other_side != side and other_start < end and other not in paired:
                paired |= {index, other}
                break
    return len(paired) // 2
