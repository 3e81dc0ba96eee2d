"""From scored spans to the entities that are reported: plain Python, no model."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypedDict


Overlap = Literal["nested", "flat", "no_crossing"]


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
    return sorted(best.values(), key=_place)


def select_spans(spans: Iterable[CharSpan], overlap: Overlap = "nested", top_k: int | None = None) -> list[CharSpan]:
    """Choose among the distinct spans of a text.

    Spans are taken from the highest score down, and one that does not go with those taken before it is left out. Of
    two that score the same, the one that begins first comes first, then the longer, then by label.

    Args:
        spans (`Iterable[CharSpan]`): Distinct spans.
        overlap (`str`, *optional*, defaults to `"nested"`):
            `"nested"` takes them all; `"no_crossing"` takes none that overlaps another unless one lies within the
            other; `"flat"` takes none that overlaps another.
        top_k (`int`, *optional*): Take no more than this many.

    Returns:
        `list[CharSpan]`: Ordered by start, then the longer first, then label.

    Raises:
        ValueError: If `overlap` is none of the three, or `top_k` is negative or no whole number.
    """
    if overlap not in _CLASHES:
        raise ValueError(f"`overlap` must be one of {list(_CLASHES)}, got {overlap!r}.")
    if top_k is not None and not is_count(top_k, at_least=0):
        raise ValueError(f"`top_k` must be a whole number, 0 or more, got {top_k!r}.")
    ranked = sorted(spans, key=lambda span: (-span.score, *_place(span)))
    clash = _CLASHES[overlap]
    if clash is not None:
        ranked = _without(clash, ranked)
    return sorted(ranked[:top_k], key=_place)


def is_count(value: Any, at_least: int) -> bool:
    """Whether a value is a whole number of at least so much."""
    return isinstance(value, int) and value >= at_least


def entities_of(text: str, spans: Iterable[CharSpan]) -> list[PredictedEntity]:
    """Spans in the form of the token-classification pipeline's aggregated output, in the order given."""
    return [
        {"entity_group": label, "score": score, "word": text[start:end], "start": start, "end": end}
        for start, end, label, score in spans
    ]


def _place(span: CharSpan) -> tuple[int, int, str]:
    return span.start, -span.end, span.label


def _overlaps(a: CharSpan, b: CharSpan) -> bool:
    return a.start < b.end and b.start < a.end


def _crosses(a: CharSpan, b: CharSpan) -> bool:
    return a.start < b.start < a.end < b.end or b.start < a.start < b.end < a.end


_CLASHES: dict[str, Callable[[CharSpan, CharSpan], bool] | None] = {
    "nested": None,
    "no_crossing": _crosses,
    "flat": _overlaps,
}


def _without(clash: Callable[[CharSpan, CharSpan], bool], ranked: list[CharSpan]) -> list[CharSpan]:
    """Take spans in their order, but for those that clash with one taken before."""
    taken: list[CharSpan] = []
    by_start: list[CharSpan] = []
    longest = 0
    for span in ranked:
        # Only these begin near enough to touch it.
        near = slice(bisect_left(by_start, (span.start - longest,)), bisect_left(by_start, (span.end,)))
        if not any(clash(span, other) for other in by_start[near]):
            taken.append(span)
            insort(by_start, span)
            longest = max(longest, span.end - span.start)
    return taken
