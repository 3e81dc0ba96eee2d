"""Scores of spans as probabilities, and back.

The probability of a span of type a that scores s is sigmoid(scale_a (s - s_TH) + shift_a), where scale and shift are
those of `config.calibration` (Platt, 1999), or 1 and 0 for a type that it does not name.
"""

from collections.abc import Mapping
from math import log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .span_decoding import label_thresholds


def score_limits(settings: Any, thresholds: Mapping[str, float] | float | None) -> list[float]:
    """The scores above which spans are predicted, for each label in the order of their ids.

    Args:
        settings (`PreTrainedConfig`): A configuration, or what has the same fields.
        thresholds (`dict[str, float]` or `float`, *optional*): Probabilities, as of [`label_thresholds`].

    Raises:
        ValueError: If a threshold is not in (0, 1) or its label is unknown.
    """
    pairs = zip(label_thresholds(settings, thresholds), scales_and_shifts(settings), strict=True)
    return [
        (log(probability) - log1p(-probability) - shift) / scale + settings.score_threshold
        for probability, (scale, shift) in pairs
    ]


def span_probabilities(settings: Any, labels: NDArray[np.int64], scores: NDArray[Any]) -> NDArray[np.float64]:
    """The probabilities of spans.

    Args:
        settings (`PreTrainedConfig`): A configuration, or what has the same fields.
        labels (`NDArray[np.int64]`): The number of the label of each; what is below 0 is padding, whose probability is
            whatever it is.
        scores (`NDArray`): The score of each, of the same shape.
    """
    scale, shift = np.array(scales_and_shifts(settings)).T
    labels = labels.clip(min=0)
    # Not all devices have double precision, so it begins here.
    logits = scale[labels] * (scores.astype(np.float64) - settings.score_threshold) + shift[labels]
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)))


def scales_and_shifts(settings: Any) -> list[tuple[float, float]]:
    """Scale and shift of each label in the order of their ids."""
    given = settings.calibration or {}
    labels = [settings.id2label[index] for index in range(len(settings.id2label))]
    return [(scale, shift) for scale, shift in (given.get(label, (1.0, 0.0)) for label in labels)]
