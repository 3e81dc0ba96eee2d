"""What the page of the demo app is given: all spans that could be entities, of which it chooses itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..modeling.span_decoding import label_thresholds
from ..modeling.span_probabilities import span_score
from ..modeling.text_recognizer import Document, Options, TextRecognizer


# Spans less probable than this are never shown, unless a threshold of the model is lower.
LEAST_PROBABILITY = 0.05
BATCH_SIZE = 16


def find_spans(
    recognizers: Mapping[str, TextRecognizer],
    texts: Sequence[tuple[str, str]],
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """The content of an `<entity-view>`.

    Args:
        recognizers (`Mapping[str, TextRecognizer]`): By their names, one, or two to compare.
        texts (`Sequence[tuple[str, str]]`): Titles and texts.
        on_progress (`Callable[[int, int], None]`): Called with the windows that are done, and the number of all.
    """
    labels = list(dict.fromkeys(label for recognizer in recognizers.values() for label in recognizer.labels))
    documents = [Document(text, None) for _, text in texts]
    total = sum(len(recognizer.windows(documents)) for recognizer in recognizers.values())
    done = 0

    def on_batch(windows: int) -> None:
        nonlocal done
        done += windows
        on_progress(done, total)

    models = [
        {"name": name, **_found(recognizer, labels, [text for _, text in texts], on_batch)}
        for name, recognizer in recognizers.items()
    ]
    return {"labels": labels, "texts": [{"title": title, "text": text} for title, text in texts], "models": models}


def _found(
    recognizer: TextRecognizer, labels: list[str], texts: list[str], on_batch: Callable[[int], None]
) -> dict[str, Any]:
    """What one model finds, before thresholds and overlap."""
    settings = recognizer.settings
    thresholds = dict(zip(recognizer.labels, label_thresholds(settings, None), strict=True))
    least = min(LEAST_PROBABILITY, *thresholds.values())
    found = recognizer.recognize(texts, BATCH_SIZE, Options(threshold=least, overlap="all"), on_batch)
    spans = [
        [
            (
                entity["start"],
                entity["end"],
                labels.index(entity["entity_group"]),
                entity["score"],
                span_score(settings, entity["entity_group"], entity["score"]),
            )
            for entity in entities
        ]
        for entities in found
    ]
    return {
        "thresholds": [thresholds.get(label, 0.5) for label in labels],
        "least": least,
        "overlap": settings.overlap,
        "spans": spans,
    }
