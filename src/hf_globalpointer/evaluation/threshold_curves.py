"""How precision and recall change with the threshold, as numbers and as a plot."""

from collections.abc import Mapping
from math import ceil
from os import PathLike
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .thresholds import Candidates, Cuts


class Curve(NamedTuple):
    """Precision, recall and F1 at every threshold that predicts something: arrays of shape `(C,)`."""

    threshold: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def precision_recall_curve(candidates: Candidates, label: str | None = None) -> Curve:
    """Precision, recall and F1 at every cut between two neighboring scores, by rising threshold.

    Args:
        candidates (`Candidates`): As [`collect_candidates`] returns.
        label (`str`, *optional*): A label; without one, the micro-averages of one threshold for all labels.
    """
    selected = list(candidates.per_label.values()) if label is None else [candidates.per_label[label]]
    scores = np.concatenate([each.scores for each in selected])
    is_gold = np.concatenate([each.is_gold for each in selected])
    gold = sum(each.gold for each in selected)
    # Below the floor there are only the candidates of labels with a low threshold.
    floor = candidates.floor if label is None else candidates.floor_of(label)
    above = scores > floor
    cuts = Cuts.between(scores[above], is_gold[above], floor)
    defined = cuts.predicted > 0
    predicted, correct = cuts.predicted[defined], cuts.correct[defined]
    return Curve(
        cuts.thresholds[defined], correct / predicted, correct / max(gold, 1), 2 * correct / (predicted + gold)
    )


def plot_curves(candidates: Candidates, thresholds: Mapping[str, float], path: str | PathLike[str]) -> None:
    """Draw the precision-recall curve of every label, and the micro-averaged one of a threshold common to all.

    The present thresholds are marked on them as "before", others as "after"; those of the micro-average may differ
    from label to label, and so lie off its curve.

    Args:
        candidates (`Candidates`): As [`collect_candidates`] returns.
        thresholds (`Mapping[str, float]`): The thresholds to mark as "after".
        path (`str` or `os.PathLike`): The file; its ending says the format, such as .png or .svg.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed: `pip install 'hf-globalpointer[plot]'`.
    """
    from matplotlib.figure import Figure

    before, after = candidates.metrics(candidates.thresholds), candidates.metrics(thresholds)
    panels: list[str | None] = [*candidates.per_label, None]
    columns = min(len(panels), 4)
    rows = ceil(len(panels) / columns)
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows), layout="constrained")
    for place, label in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place, aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        # A label is no formula, whatever signs it holds.
        axes.set_title("all labels (micro)" if label is None else label, parse_math=False)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.grid(alpha=0.3)
        curve = precision_recall_curve(candidates, label)
        axes.plot(curve.recall, curve.precision, color="0.4", linewidth=1.2)
        for name, marker, metrics in (("before", "o", before), ("after", "D", after)):
            counts = metrics.micro if label is None else metrics.per_label[label]
            axes.plot(counts.recall, counts.precision, marker, alpha=0.8, label=f"{name}: F1 {counts.f1:.4f}")
        axes.legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=150)
