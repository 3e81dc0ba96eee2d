"""Scores of spans as probabilities, and back.

The probability of a span of type a that scores s is sigmoid(scale_a (s - s_TH) + shift_a), where scale and shift are
those of `config.calibration` (Platt, 1999), or 1 and 0 for a type that it does not name.
"""

from collections.abc import Mapping
from math import exp, log, log1p
from sys import float_info
from typing import Any

from .span_decoding import label_thresholds


# The highest probability below which float64 still has a few others; a logit of 36.
HIGHEST = 1 - float_info.epsilon


def span_probability(settings: Any, label: str, score: float) -> float:
    """The probability of a span.

    Args:
        settings (`PreTrainedConfig`): A configuration, or what has the same fields.
        label (`str`): Its label.
        score (`float`): Its score.
    """
    scale, shift = _scale_and_shift(settings, label)
    logit = scale * (score - settings.score_threshold) + shift
    odds = exp(-abs(logit))
    return 1 / (1 + odds) if logit >= 0 else odds / (1 + odds)


def span_score(settings: Any, label: str, probability: float) -> float:
    """The score of a span; those whose probabilities are rounded to 1 have the same.

    Args:
        settings (`PreTrainedConfig`): A configuration, or what has the same fields.
        label (`str`): Its label.
        probability (`float`): Its probability, above 0.
    """
    scale, shift = _scale_and_shift(settings, label)
    probability = min(probability, HIGHEST)
    return (log(probability) - log1p(-probability) - shift) / scale + float(settings.score_threshold)


def score_limits(settings: Any, thresholds: Mapping[str, float] | float | None) -> list[float]:
    """The scores above which spans are predicted, for each label in the order of their ids.

    Args:
        settings (`PreTrainedConfig`): A configuration, or what has the same fields.
        thresholds (`dict[str, float]` or `float`, *optional*): Probabilities, as of [`label_thresholds`].

    Raises:
        ValueError: If a threshold is not in (0, 1) or its label is unknown.
    """
    labels = (settings.id2label[index] for index in range(len(settings.id2label)))
    pairs = zip(labels, label_thresholds(settings, thresholds), strict=True)
    return [span_score(settings, label, threshold) for label, threshold in pairs]


def _scale_and_shift(settings: Any, label: str) -> tuple[float, float]:
    scale, shift = (settings.calibration or {}).get(label, (1.0, 0.0))
    return scale, shift
