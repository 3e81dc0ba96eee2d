"""How often predictions are correct, and how to make probabilities say so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..modeling.span_probabilities import HIGHEST, score_limits
from .scored_documents import ScoredDocument
from .thresholds import Candidates, LabelCandidates, logit


_BINS = 10
# How much the parameters of a label are held to those of all labels, and these to no calibration, in the units of the
# log-likelihood: as much as a few candidates say.
_STRENGTH = 1.0
# One that is less turns the order of scores around, or all but wipes it out.
_LEAST_SCALE = 0.01


@dataclass(frozen=True)
class Bin:
    """Predictions with a probability in a tenth of 0 to 1.

    Args:
        low (`float`): The lowest probability, not included.
        high (`float`): The highest.
        predicted (`int`): The number of predictions.
        probability (`float`): Their mean probability, 0 without any.
        precision (`float`): How many of them are correct, as a share; 0 without any.
    """

    low: float
    high: float
    predicted: int
    probability: float
    precision: float


@dataclass(frozen=True)
class Reliability:
    """How often predictions are correct, by their probability.

    Args:
        bins (`list[Bin]`): The predictions by probability, in ten bins.
    """

    bins: list[Bin]

    @classmethod
    def from_documents(cls, documents: Iterable[ScoredDocument]) -> Self:
        """That of the predictions for texts."""
        scored = [(score, entity in each.gold) for each in documents for entity, score in each.predicted.items()]
        probabilities, is_correct = np.array(scored, float).reshape(-1, 2).T
        number = np.clip(np.ceil(probabilities * _BINS).astype(int) - 1, 0, _BINS - 1)
        counts = np.bincount(number, minlength=_BINS)
        sums = (np.bincount(number, values, minlength=_BINS) for values in (probabilities, is_correct))
        means = [total / np.maximum(counts, 1) for total in sums]
        return cls(
            [
                Bin(index / _BINS, (index + 1) / _BINS, int(counts[index]), *(float(mean[index]) for mean in means))
                for index in range(_BINS)
            ]
        )

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini et al., 2015): the mean of |precision - probability| of the bins."""
        total = sum(each.predicted for each in self.bins)
        return sum(each.predicted * abs(each.precision - each.probability) for each in self.bins) / max(total, 1)


def calibrate(config: Any, candidates: Candidates, thresholds: Mapping[str, float]) -> Candidates:
    """Make the probabilities of a model say how often its predictions are correct.

    By Platt's (1999) method, the logit x of a candidate becomes scale x + shift, with the scale and shift of its label
    under which the candidates are most likely what they are. Labels with few candidates are held to what fits all
    labels, and those without gold entities follow it. The model predicts what it predicted before: the same spans are
    over their thresholds, and of two that clash, the one with the higher score is taken, whatever their probabilities.

    Args:
        config (`PreTrainedConfig`): The model's configuration, whose `calibration` and `thresholds` are set.
        candidates (`Candidates`): As [`collect_candidates`] returns with this configuration, on development data.
        thresholds (`Mapping[str, float]`): The threshold of each label before calibration: those of `candidates`, or
            those that [`best_thresholds`] finds.

    Returns:
        `Candidates`: The candidates with their new probabilities, and a floor for each label.
    """
    fitted = fit_calibration(candidates)
    present = config.calibration or {}
    calibration = {}
    for label, (scale, shift) in fitted.items():
        old_scale, old_shift = present.get(label, (1.0, 0.0))
        calibration[label] = [scale * old_scale, scale * old_shift + shift]
    config.calibration = calibration
    config.thresholds = {label: _calibrated(thresholds[label], *parameters) for label, parameters in fitted.items()}
    per_label = {
        label: replace(
            each, scores=calibrated(each.scores, *fitted[label]), threshold=_calibrated(each.threshold, *fitted[label])
        )
        for label, each in candidates.per_label.items()
    }
    floors = {label: _calibrated(candidates.floor_of(label), *parameters) for label, parameters in fitted.items()}
    return Candidates(per_label, max(floors.values()), floors)


def reset_calibration(config: Any) -> None:
    """Take the calibration of a model back; the same spans are over their thresholds as before.

    Args:
        config (`PreTrainedConfig`): The model's configuration, whose `calibration` and `thresholds` are set.
    """
    if config.calibration is not None:
        logits = np.array(score_limits(config, None)) - config.score_threshold
        with np.errstate(over="ignore"):
            probabilities = np.clip(1 / (1 + np.exp(-logits)), np.finfo(np.float64).tiny, HIGHEST)
        labels = (config.id2label[index] for index in range(len(logits)))
        config.thresholds = dict(zip(labels, probabilities.tolist(), strict=True))
        config.calibration = None


def fit_calibration(candidates: Candidates) -> dict[str, tuple[float, float]]:
    """For each label, scale and shift by which logits become those of calibrated probabilities."""
    # Data that lack a label would make all of its predictions improbable.
    known = {label: each for label, each in candidates.per_label.items() if each.gold and len(each.scores)}
    if not known:
        return dict.fromkeys(candidates.per_label, (1.0, 0.0))
    logits, is_gold = zip(*map(_logits, known.values()), strict=True)
    of_all = _fit(np.concatenate(logits), np.concatenate(is_gold), (1.0, 0.0))
    return {
        label: _fit(*_logits(each), of_all) if label in known else of_all
        for label, each in candidates.per_label.items()
    }


def calibrated(probabilities: NDArray[np.float64], scale: float, shift: float) -> NDArray[np.float64]:
    """Probabilities whose logits are scaled and shifted."""
    with np.errstate(over="ignore"):
        values = 1 / (1 + np.exp(-(scale * logit(np.minimum(probabilities, HIGHEST)) + shift)))
    return np.clip(values, np.finfo(np.float64).tiny, HIGHEST)


def _calibrated(probability: float, scale: float, shift: float) -> float:
    return float(calibrated(np.array(probability), scale, shift))


def _logits(candidates: LabelCandidates) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return logit(np.minimum(candidates.scores, HIGHEST)), candidates.is_gold


def _fit(x: NDArray[np.float64], is_gold: NDArray[np.bool_], prior: tuple[float, float]) -> tuple[float, float]:
    """The scale and shift that make -log likelihood + distance^2 / 2 from the prior least, by Newton's method."""
    inputs = np.stack([x, np.ones_like(x)], axis=1)
    target, center = is_gold.astype(float), np.array(prior)

    def loss(at: NDArray[np.float64]) -> float:
        z = inputs @ at
        # log(1 + e^z) - target z
        return float((np.logaddexp(0, z) - target * z).sum() + _STRENGTH * ((at - center) ** 2).sum() / 2)

    at = center
    for _ in range(100):
        p = np.exp(-np.logaddexp(0, -(inputs @ at)))
        gradient = inputs.T @ (p - target) + _STRENGTH * (at - center)
        curvature = (inputs * (p * (1 - p))[:, None]).T @ inputs + _STRENGTH * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # A whole step may overshoot, far from the least.
        while loss(at - step) > loss(at) and np.abs(step).max() > 1e-12:
            step = step / 2
        at = at - step
        if np.abs(step).max() < 1e-10:
            break
    scale, shift = at.tolist()
    return (scale, shift) if scale > _LEAST_SCALE else prior
