"""From scored spans to the entities that are reported: plain Python, no model."""

from collections.abc import Iterable
from typing import NamedTuple, TypedDict


class CharSpan(NamedTuple):
    """A predicted span of a text: characters, end exclusive, with its probability."""

    start: int
    end: int
    label: str
    score: float


class PredictedEntity(TypedDict):
    """An entity as the pipeline reports it; `word == text[start:end]`."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


def merge_spans(spans: Iterable[CharSpan]) -> list[CharSpan]:
    """Keep each (start, end, label) once, with its highest score: overlapping windows see the same span twice.

    Returns:
        `list[CharSpan]`: Ordered by start, then the longer first, then label.
    """
    best: dict[tuple[int, int, str], CharSpan] = {}
    for span in spans:
        known = best.get(span[:3])
        if known is None or span.score > known.score:
            best[span[:3]] = span
    return sorted(best.values(), key=lambda span: (span.start, -span.end, span.label))


def entities_of(text: str, spans: Iterable[CharSpan]) -> list[PredictedEntity]:
    """Spans in the form of the token-classification pipeline's aggregated output, in the order given."""
    return [
        {"entity_group": label, "score": score, "word": text[start:end], "start": start, "end": end}
        for start, end, label, score in spans
    ]
