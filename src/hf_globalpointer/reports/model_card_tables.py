"""The tables of a model card, as Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

from transformers import PreTrainedConfig

from ..data.statistics import SplitStatistics
from .markdown import literal, table


METRICS = {"precision": "precision", "recall": "recall", "f1": "F1"}
_HEAD_SETTINGS = (
    "head_size",
    "span_representation",
    "use_rope",
    "rope_theta",
    "head_dropout",
    "span_loss",
    "score_threshold",
    "thresholds",
    "calibration",
    "overlap",
    "max_span_length",
    "max_length",
)


def labels_table(labels: Iterable[str], statistics: Mapping[str, SplitStatistics]) -> str:
    """How many entities of each label there are in each split."""
    rows = [[literal(label), *(f"{split.entities[label]:,}" for split in statistics.values())] for label in labels]
    return table(["type", *map(literal, statistics)], rows)


def splits_table(statistics: Mapping[str, SplitStatistics]) -> str:
    """The sizes of the splits; empty without any."""
    rows = []
    for name, split in statistics.items():
        total = split.entities.total()
        share = f" ({split.nested / total:.1%})" if total else ""
        numbers = f"{split.texts:,}", f"{total:,}", f"{split.nested:,}{share}", f"{split.unaligned:,}"
        rows.append([literal(name), *numbers])
    return table(["split", "examples", "entities", "nested", "not aligned"], rows) if rows else ""


def results_table(labels: Iterable[str], scores: Mapping[str, Mapping[str, float]]) -> str:
    """Precision, recall and F1 of each label, micro and macro, side by side for all splits; empty without scores."""
    if not scores:
        return ""
    affixes = {literal(label): ("", f"_{label}") for label in labels}
    affixes |= {"**micro**": ("", ""), "**macro**": ("macro_", "")}
    rows = []
    for name, (prefix, suffix) in affixes.items():
        values = [split.get(f"{prefix}{metric}{suffix}") for split in scores.values() for metric in METRICS]
        if any(value is not None for value in values):
            rows.append([name, *("" if value is None else f"{value:.4f}" for value in values)])
    columns = [f"{literal(split)} {name}" for split in scores for name in METRICS.values()]
    return table(["type", *columns], rows)


def settings_table(hyperparameters: Mapping[str, Any], config: PreTrainedConfig) -> str:
    """How the model was trained, and how its head is made."""
    settings = config.to_dict()
    values = {**hyperparameters, **{name: settings.get(name) for name in _HEAD_SETTINGS}}
    rows = [[f"`{name}`", _value(value)] for name, value in values.items() if value is not None]
    return table(["setting", "value"], rows)


def _value(value: Any) -> str:
    """A setting as text: names and numbers as they are, lists and mappings in words."""
    if isinstance(value, Mapping):
        value = [f"{key}: {item:g}" for key, item in value.items()]
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else literal(str(value))
