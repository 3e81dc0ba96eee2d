"""From scored spans to the entities that are reported, without a model."""

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np


Overlap = Literal["all", "nested", "flat"]


class CharSpan(NamedTuple):
    """A predicted span of a text: characters, end exclusive, with its score, or with its probability."""

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
    """Keep each (start, end, label) once, with its highest score: one character may be several tokens.

    Returns:
        `list[CharSpan]`: Ordered by start, then the longer first, then label.
    """
    best: dict[tuple[int, int, str], CharSpan] = {}
    for span in spans:
        known = best.get(span[:3])
        if known is None or span.score > known.score:
            best[span[:3]] = span
    return sorted(best.values(), key=_place)


def select_spans(spans: Iterable[CharSpan], overlap: Overlap = "all", top_k: int | None = None) -> list[CharSpan]:
    """Choose among the distinct spans of a text.

    Spans are taken from the highest score down, and one that does not go with those taken before it is left out. Of
    two that score the same, the one that begins first comes first, then the longer, then by label.

    Args:
        spans (`Iterable[CharSpan]`): Distinct spans.
        overlap (`str`, *optional*, defaults to `"all"`):
            `"all"` takes them all; `"nested"` takes none that crosses another, that is, overlaps it though neither
            lies within the other; `"flat"` takes none that overlaps another.
        top_k (`int`, *optional*): Take no more than this many.

    Returns:
        `list[CharSpan]`: Ordered by start, then the longer first, then label.

    Raises:
        ValueError: If `overlap` is none of the three, or `top_k` is negative or no whole number.
    """
    check_selection(overlap, top_k)
    ranked = sorted(spans, key=lambda span: (-span.score, *_place(span)))
    return sorted(_CHOICES[overlap](ranked)[:top_k], key=_place)


def check_selection(overlap: Any, top_k: Any) -> None:
    """Raise a `ValueError` where these are no arguments of [`select_spans`]."""
    if not isinstance(overlap, str) or overlap not in _CHOICES:
        raise ValueError(f"`overlap` must be one of {list(_CHOICES)}, got {overlap!r}.")
    if top_k is not None and not is_count(top_k, at_least=0):
        raise ValueError(f"`top_k` must be a whole number, 0 or more, got {top_k!r}.")


def is_count(value: Any, at_least: int) -> bool:
    """Whether a value is a whole number of at least so much."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= at_least


def label_thresholds(settings: Any, thresholds: Mapping[str, float] | float | None) -> list[float]:
    """The probability above which a span is predicted, for each label in the order of their ids.

    Args:
        settings (`PreTrainedConfig`): A configuration, or what has the same fields.
        thresholds (`dict[str, float]` or `float`, *optional*): For labels not given, those of the configuration.

    Raises:
        ValueError: If a threshold is not in (0, 1) or its label is unknown.
    """
    labels = list(settings.id2label.values())
    if thresholds is None:
        thresholds = {}
    elif not isinstance(thresholds, Mapping):
        thresholds = dict.fromkeys(labels, thresholds)
    given = {**(settings.thresholds or {}), **thresholds}
    for label, threshold in given.items():
        if label not in labels:
            raise ValueError(f"Threshold for {label!r}, which is none of {labels}.")
        if not isinstance(threshold, Real) or not 0 < float(threshold) < 1:
            raise ValueError(f"A threshold is a probability in (0, 1), got {threshold!r} for {label!r}.")
    return [given.get(settings.id2label[index], 0.5) for index in range(len(labels))]


def entities_of(text: str, spans: Iterable[CharSpan]) -> list[PredictedEntity]:
    """Spans in the form of the token-classification pipeline's aggregated output, in the order given."""
    return [
        {"entity_group": label, "score": score, "word": text[start:end], "start": start, "end": end}
        for start, end, label, score in spans
    ]


def _place(span: CharSpan) -> tuple[int, int, str]:
    return span.start, -span.end, span.label


def _without_overlap(ranked: list[CharSpan]) -> list[CharSpan]:
    """Take spans in their order, but for those that overlap one taken before."""
    taken: list[CharSpan] = []
    edges, bounds = _edges(ranked)
    # Whether the stretch from each edge to the next is taken.
    covered = np.zeros(edges, dtype=bool)
    for span, (start, end) in zip(ranked, bounds, strict=True):
        if not covered[start:end].any():
            covered[start:end] = True
            taken.append(span)
    return taken


def _without_crossing(ranked: list[CharSpan]) -> list[CharSpan]:
    """Take spans in their order, but for those that cross one taken before."""
    taken: list[CharSpan] = []
    edges, bounds = _edges(ranked)
    # The farthest end of the spans taken that begin at each edge, and the farthest start of those that end there.
    farthest_end, farthest_start = np.full(edges, -1), np.full(edges, edges)
    for span, (start, end) in zip(ranked, bounds, strict=True):
        inside = slice(start + 1, end)
        if farthest_end[inside].max(initial=-1) <= end and farthest_start[inside].min(initial=edges) >= start:
            farthest_end[start] = max(farthest_end[start], end)
            farthest_start[end] = min(farthest_start[end], start)
            taken.append(span)
    return taken


def _edges(spans: list[CharSpan]) -> tuple[int, list[list[int]]]:
    """The number of places where a span begins or ends, and where among them, in order, each does."""
    bounds = np.array([span[:2] for span in spans], dtype=np.int64).reshape(-1, 2)
    edges, places = np.unique(bounds, return_inverse=True)
    return len(edges), places.reshape(-1, 2).tolist()


_CHOICES: dict[str, Callable[[list[CharSpan]], list[CharSpan]]] = {
    "all": list,
    "nested": _without_crossing,
    "flat": _without_overlap,
}
