"""Which texts to annotate next: those of which a model knows least, and each for another reason."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

from ..data.examples import Entity, Example
from ..modeling.span_decoding import CharSpan, label_thresholds, select_spans
from ..modeling.span_probabilities import span_score
from ..modeling.text_recognizer import TextRecognizer
from .search_limits import FLOOR, MAX_SPANS


# How far below the threshold of its label a span is looked at, in logits, where that is below the floor: of one that
# is farther, the model is as good as certain.
FARTHEST = 6.0
# What a doubt is still worth once a chosen text has it.
_REPEATED = 0.5

# A label and the letters that may have it.
Doubt = tuple[str, str]


@dataclass(frozen=True)
class Suggestion:
    """A text to annotate.

    Args:
        example (`Example`): The text, with the entities that the model predicts.
        value (`float`): What it adds to those suggested before it: the sum of its doubts, each from 0, certain, to 1,
            at the threshold; halved for each text before it that has the same doubt.
    """

    example: Example
    value: float


def suggestion_options(recognizer: TextRecognizer) -> dict[str, Any]:
    """The options of the call whose results [`choose_suggestions`] takes: all spans worth a look."""
    lowest = {
        label: min(FLOOR, 1 / (1 + exp(FARTHEST) * (1 - threshold) / threshold))
        for label, threshold in _thresholds(recognizer.settings).items()
    }
    return {"threshold": lowest, "overlap": "all", "max_spans": MAX_SPANS}


def suggest(
    recognizer: TextRecognizer, examples: Iterable[Example], top: int, batch_size: int = 32
) -> list[Suggestion]:
    """The texts whose annotation would teach a model most.

    A span is doubtful that scores near the threshold of its label: with d the distance of its probability from the
    threshold, in logits, its doubt is 4 sigmoid(d) sigmoid(-d). Spans of one label and with the same letters are one
    doubt of a text, as large as the largest. Texts are chosen one by one, each the one with the highest sum of doubts,
    where a doubt counts half for each text chosen before that has it too; so they differ.

    Args:
        recognizer (`TextRecognizer`): A pipeline, or a `Recognizer`.
        examples (`Iterable[Example]`): Texts; their entities are not looked at. They are held in memory.
        top (`int`): How many to choose, at most. A text that comes twice is chosen once, and one without doubts is
            not chosen.
        batch_size (`int`, *optional*, defaults to 32): Windows in a batch.
    """
    examples = list(examples)
    texts = (example.text for example in examples)
    found = recognizer(texts, batch_size=batch_size, **suggestion_options(recognizer))
    return choose_suggestions(zip(examples, found, strict=True), recognizer.settings, top)


def choose_suggestions(
    found: Iterable[tuple[Example, Sequence[Mapping[str, Any]]]], settings: Any, top: int
) -> list[Suggestion]:
    """As [`suggest`], of texts with what was found in them by its options.

    Args:
        found (`Iterable[tuple[Example, Sequence[Mapping]]]`): The texts, each with spans as the pipeline gives them.
        settings (`PreTrainedConfig`): The model's configuration, or what has the same fields.
        top (`int`): How many to choose, at most.
    """
    thresholds = _thresholds(settings)
    candidates: dict[str, tuple[Example, dict[Doubt, float]]] = {}
    for example, spans in found:
        if example.text not in candidates:
            candidates[example.text] = _predicted(example, spans, settings), _doubts(spans, thresholds)
    return _choose(list(candidates.values()), top)


def _thresholds(settings: Any) -> dict[str, float]:
    labels = (settings.id2label[index] for index in range(len(settings.id2label)))
    return dict(zip(labels, label_thresholds(settings, None), strict=True))


def _choose(candidates: Sequence[tuple[Example, Mapping[Doubt, float]]], top: int) -> list[Suggestion]:
    """The most valuable one, again and again.

    As texts are chosen, others only lose value; so one that is still worth more than the others were, is the best.
    """
    heap = [(-sum(doubts.values()), index) for index, (_, doubts) in enumerate(candidates) if doubts]
    heapq.heapify(heap)
    known: Counter[Doubt] = Counter()
    chosen: list[Suggestion] = []
    while heap and len(chosen) < top:
        _, index = heapq.heappop(heap)
        example, doubts = candidates[index]
        value = sum(doubt * _REPEATED ** known[key] for key, doubt in doubts.items())
        if heap and (-value, index) > heap[0]:
            heapq.heappush(heap, (-value, index))
            continue
        known.update(doubts.keys())
        chosen.append(Suggestion(example, value))
    return chosen


def _predicted(example: Example, spans: Iterable[Mapping[str, Any]], settings: Any) -> Example:
    """The text with the entities that the pipeline gives by default."""
    thresholds = _thresholds(settings)
    over = (
        CharSpan(span["start"], span["end"], label, span_score(settings, label, span["score"]))
        for span in spans
        if span["score"] > thresholds[label := span["entity_group"]]
    )
    entities = (Entity(span.start, span.end, span.label) for span in select_spans(over, settings.overlap))
    return replace(example, entities=tuple(entities))


def _doubts(spans: Iterable[Mapping[str, Any]], thresholds: Mapping[str, float]) -> dict[Doubt, float]:
    """What the model doubts in a text, and how much."""
    doubts: dict[Doubt, float] = {}
    for span in spans:
        label, score = span["entity_group"], span["score"]
        key = label, span["word"].casefold()
        doubts[key] = max(doubts.get(key, 0.0), _doubt(score, thresholds[label]))
    return doubts


def _doubt(score: float, threshold: float) -> float:
    """From 0, where a probability is far from the threshold, to 1, where it is at the threshold."""
    if not 0 < score < 1:
        return 0.0
    odds = exp(-abs(log(score / (1 - score)) - log(threshold / (1 - threshold))))
    # 4 sigmoid(d) sigmoid(-d)
    return 4 * odds / (1 + odds) ** 2
