"""The tables of an evaluation report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..evaluation.calibration import Reliability
from ..evaluation.evaluation import Breakdown, Evaluation
from ..evaluation.metrics import SpanCounts
from ..evaluation.missed_entities import MissedEntity, MissReason
from ..evaluation.significance import Difference, Interval, Intervals


# What tables show in place of a ratio over nothing.
_NO_SCORE = "-"


@dataclass(frozen=True)
class Score:
    """A cell of a table: a ratio with its confidence interval."""

    value: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.interval.low:.4f} to {self.interval.high:.4f})"


Cell = str | int | Score


@dataclass(frozen=True)
class Section:
    """A table with its heading and what there is to say of it, and a diagram of reliability, if it is of that."""

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    reliability: Reliability | None = None

    @property
    def has_plot(self) -> bool:
        """Whether the page plots the fourth column, F1."""
        return any(isinstance(cell, Score) for row in self.rows for cell in row)


@dataclass(frozen=True)
class Comparison:
    """A model beside another one.

    Args:
        other (`str`): What the other model is called.
        differences (`Mapping[str, Difference]`): As [`compare_models`] gives them, the other model as the second one.
    """

    other: str
    differences: Mapping[str, Difference]


def all_sections(
    evaluation: Evaluation, comparison: Comparison | None, misses: Sequence[MissedEntity], max_errors: int
) -> list[Section]:
    """All tables in order; the one of frequent errors has at most `max_errors` rows."""
    return [
        _by_label(evaluation.types),
        *([] if comparison is None else [_compared(comparison)]),
        _by_group(
            "By length of the entity",
            "Words of the entity. A gold entity and a prediction each count in the group of their own length.",
            "words",
            evaluation.lengths,
        ),
        _by_group(
            "By longest entity of the text",
            "Words of the longest gold entity of the text, in which group all that is in the text counts: "
            "L-1, L-2 and L-3 of Table 6 in Su et al. (2022).",
            "words",
            evaluation.longest,
        ),
        _by_group(
            "By density of entities",
            "Share of the words of the text that lie in gold entities; all that is in the text counts in its "
            "group: D-1, D-2 and D-3 of Table 6 in Su et al. (2022).",
            "density",
            evaluation.densities,
        ),
        _by_criterion(evaluation),
        _by_probability(evaluation.reliability),
        _frequent_errors(evaluation, max_errors),
        *([_by_reason(misses, evaluation.labels)] if misses else []),
        _confusion(evaluation),
    ]


def shown_ratios(counts: SpanCounts, ratios: Mapping[str, float] | None = None) -> list[str]:
    """Precision, recall and F1 for a table, each a dash where there is neither a gold span nor a prediction.

    Args:
        counts (`SpanCounts`): What was scored.
        ratios (`Mapping[str, float]`, *optional*, defaults to those of the counts): The three, such as macro means.
    """
    values = (counts.to_dict() if ratios is None else ratios).values()
    return [f"{value:.4f}" if counts.gold or counts.predicted else _NO_SCORE for value in values]


def _by_label(breakdown: Breakdown) -> Section:
    metrics, intervals = breakdown.metrics, breakdown.intervals
    rows: list[list[Cell]] = [
        *_rows(breakdown),
        ["micro", *_scores(metrics.micro.to_dict(), intervals.micro), *_numbers(metrics.micro)],
        ["macro", *_scores(metrics.macro, intervals.macro), "", "", ""],
    ]
    return Section("By type", "Macro is the mean over the types that occur.", _header("type"), rows)


def _by_group(title: str, text: str, name: str, breakdown: Breakdown) -> Section:
    return Section(title, text, _header(name), _rows(breakdown))


def _by_criterion(evaluation: Evaluation) -> Section:
    criteria = {
        "type, start and end": evaluation.types.metrics.micro,
        "start and end": evaluation.errors.boundaries,
        "type": evaluation.errors.labels,
    }
    rows = [[name, *shown_ratios(counts), *_numbers(counts)] for name, counts in criteria.items()]
    text = (
        "With start and end alone, each span counts once, whatever its labels; with the type alone, spans need "
        "but overlap, and as many gold entities as can be are paired, each with a prediction of its own."
    )
    return Section("What must be correct", text, _header("must be correct"), rows)


def _by_probability(reliability: Reliability) -> Section:
    rows: list[list[Cell]] = [
        [f"{each.low:.1f} to {each.high:.1f}", each.predicted, f"{each.probability:.4f}", f"{each.precision:.4f}"]
        for each in reliability.bins
        if each.predicted
    ]
    error = f"{reliability.error:.4f}" if rows else _NO_SCORE
    text = (
        "Where a probability says how often a prediction is correct, it is near the precision. Expected calibration "
        f"error: {error}, the mean difference of the two; tune-thresholds makes it small."
    )
    header = ["probability", "predicted", "mean probability", "precision"]
    return Section("By probability", text, header, rows, reliability)


def _frequent_errors(evaluation: Evaluation, max_errors: int) -> Section:
    errors = evaluation.errors
    rows = [
        [kind.value, gold or "", predicted or "", count]
        for kind, gold, predicted, count in errors.frequent()[:max_errors]
    ]
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in errors.kinds.items())
    text = f"Errors: {len(errors.errors):,}, each gold entity and prediction in one: {kinds}."
    return Section("Most frequent errors", text, ["error", "gold", "predicted", "count"], rows)


def _by_reason(misses: Sequence[MissedEntity], labels: Sequence[str]) -> Section:
    counts = Counter((miss.entity.label, miss.reason) for miss in misses)
    rows: list[list[Cell]] = [[label, *(counts[label, reason] for reason in MissReason)] for label in labels]
    text = (
        "All gold entities that were not predicted as they are, those with a wrong label or boundary too. Suppressed: "
        "over the threshold, but an entity that it may not go with scored higher. Cut: over the threshold, but more "
        "spans than may be kept scored higher. Under the threshold: a lower one may find it, and other spans with it; "
        f"see tune-thresholds. {MissReason.improbable.capitalize()}: the model does not see it; more examples of its "
        "kind may help. Not aligned: by tokenizer and settings of the model, it is no span that can be predicted."
    )
    return Section("Why gold entities were not found", text, ["type", *MissReason], rows)


def _confusion(evaluation: Evaluation) -> Section:
    labels, confusion = evaluation.labels, evaluation.errors.confusion
    rows: list[list[Cell]] = [
        [gold, *(confusion[gold, predicted] for predicted in (*labels, None))] for gold in labels
    ]
    rows.append(["no such span", *(confusion[None, predicted] for predicted in labels), ""])
    text = "Entities that have the same start and end: gold labels in rows, predicted ones in columns."
    return Section("Confusion of labels", text, ["gold", *labels, "no such span"], rows)


def _compared(comparison: Comparison) -> Section:
    rows: list[list[Cell]] = [
        [
            name.replace("_", " "),
            f"{difference.first:.4f}",
            f"{difference.second:.4f}",
            f"{difference.value:+.4f} ({difference.interval.low:+.4f} to {difference.interval.high:+.4f})",
            f"{difference.p_value:.4f}",
        ]
        for name, difference in comparison.differences.items()
    ]
    text = (
        f"The other model is {comparison.other}. The 95 % confidence interval of the difference is that of a paired "
        "bootstrap of the texts; p is that of approximate randomization, two-sided."
    )
    return Section("Compared with another model", text, ["score", "this model", "other", "difference", "p"], rows)


def _header(name: str) -> list[str]:
    return [name, "precision", "recall", "F1", "gold", "predicted", "correct"]


def _rows(breakdown: Breakdown) -> list[list[Cell]]:
    intervals = breakdown.intervals.per_label
    return [
        [name, *_scores(counts.to_dict(), intervals[name]), *_numbers(counts)]
        for name, counts in breakdown.metrics.per_label.items()
    ]


def _scores(ratios: Mapping[str, float], intervals: Intervals) -> list[Cell]:
    return [_NO_SCORE if interval is None else Score(ratios[name], interval) for name, interval in intervals.items()]


def _numbers(counts: SpanCounts) -> list[Cell]:
    return [counts.gold, counts.predicted, counts.correct]
