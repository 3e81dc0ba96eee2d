"""What the page of the demo app is given: all spans that could be entities, of which it chooses itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..modeling.span_decoding import label_thresholds, merge_spans
from ..modeling.span_probabilities import span_probability
from ..modeling.text_recognizer import Document, Options, TextRecognizer


# Spans less probable than this are never shown, unless the model's threshold for their label is lower.
LEAST_PROBABILITY = 0.05
# Of a window; the highest scores.
MAX_SPANS = 10_000
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
        on_progress (`Callable[[int, int], None]`):
            Called with the windows that are done, and the number of all, of each model.

    Raises:
        FloatingPointError: If the scores of a model are no finite numbers.
    """
    labels = list(dict.fromkeys(label for recognizer in recognizers.values() for label in recognizer.labels))
    documents = [Document(text, None) for _, text in texts]
    models = [
        {"name": name, **_found(recognizer, labels, documents, on_progress)}
        for name, recognizer in recognizers.items()
    ]
    return {"labels": labels, "texts": [{"title": title, "text": text} for title, text in texts], "models": models}


def _found(
    recognizer: TextRecognizer,
    labels: list[str],
    documents: Sequence[Document],
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """What one model finds, before thresholds and overlap."""
    settings = recognizer.settings
    thresholds = dict(zip(recognizer.labels, label_thresholds(settings, None), strict=True))
    least = {label: min(LEAST_PROBABILITY, threshold) for label, threshold in thresholds.items()}
    options = Options(threshold=least, max_spans=MAX_SPANS)
    windows = [window for window in recognizer.windows(documents, options) if window.span_token_mask.any()]
    done = 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, len(windows))

    found = recognizer.find_spans(windows, len(documents), BATCH_SIZE, options, on_batch)
    return {
        # None for a label that the model does not know.
        "thresholds": [thresholds.get(label) for label in labels],
        "least": [least.get(label) for label in labels],
        "overlap": settings.overlap,
        "spans": [
            [
                (start, end, labels.index(label), span_probability(settings, label, score), score)
                for start, end, label, score in merge_spans(spans)
            ]
            for spans in found
        ],
    }
