"""An evaluation to read: as Markdown, and as a page of HTML with plots and with the errors in their texts."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import islice
from os import PathLike
from pathlib import Path

from ..data.examples import Entity
from ..evaluation.error_analysis import ErrorKind, SpanError
from ..evaluation.evaluation import Breakdown, Evaluation
from ..evaluation.metrics import SpanCounts
from ..evaluation.significance import Difference, Interval
from ..modeling.span_decoding import CharSpan, entities_of
from .markdown import literal, table
from .visualization import render, render_page


# What tables show in place of a ratio over nothing.
_NO_SCORE = "-"
# Characters of the text that are shown on either side of an error.
_CONTEXT = 100
_STYLE = """<style>
h2 { font-size: 1.1rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-top: 2rem; }
p, table { font-size: .9rem; } p { max-width: 48rem; }
.gp-scroll { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead { border-bottom: 1.5px solid #222; }
tbody tr { border-bottom: 1px solid #ddd; }
svg { vertical-align: middle; } td small { color: #666; margin-left: .4em; }
.gp-error { border-top: 1px solid #ddd; padding: .4rem 0; }
.gp-error > div { display: grid; grid-template-columns: 5rem 1fr; align-items: start; font-size: .9rem; }
.gp-error .gp-text { margin: 0; } .gp-error p { margin: .2rem 0; } .gp-side { color: #666; line-height: 2.1; }
</style>"""
_EXPLANATIONS = {
    ErrorKind.wrong_label: "Start and end are right, the label is not.",
    ErrorKind.wrong_boundary: "The label is right and the spans overlap.",
    ErrorKind.wrong_both: "The spans overlap; neither the label nor both of start and end are right.",
    ErrorKind.missed: "No prediction is matched with this gold entity.",
    ErrorKind.spurious: "No gold entity is matched with this prediction.",
}


@dataclass(frozen=True)
class _Score:
    """A cell of a table: a ratio with its confidence interval."""

    value: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.interval.low:.4f}, {self.interval.high:.4f}]"


_Cell = str | int | _Score


@dataclass(frozen=True)
class _Section:
    """A table with its heading and what there is to say of it."""

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[_Cell]]


@dataclass(frozen=True)
class Comparison:
    """A model beside another one.

    Args:
        other (`str`): What the other model is called.
        differences (`Mapping[str, Difference]`): As [`compare_models`] gives them, the other model as the second one.
    """

    other: str
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class EvaluationReport:
    """A report of an evaluation.

    Args:
        model (`str`): What the model is called.
        data (`str`): What the data are called.
        evaluation (`Evaluation`): What was found.
        comparison (`Comparison`, *optional*): How another model compares.
        max_errors (`int`, *optional*, defaults to 20): How many errors of each kind the page shows: the first ones.

    Example:
        ```python
        predictions = recognize([example.text for example in examples])
        report = EvaluationReport("my-ner", "test.jsonl", Evaluation.from_predictions(examples, predictions))
        report.save("report")
        ```
    """

    model: str
    data: str
    evaluation: Evaluation
    comparison: Comparison | None = None
    max_errors: int = 20

    def save(self, folder: str | PathLike[str]) -> None:
        """Write report.md, report.json and report.html into a folder, which is made if it is not there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        # Labels and names may hold lone surrogates, which UTF-8 does not take.
        (folder / "report.md").write_text(self.to_markdown(), encoding="utf-8", errors="xmlcharrefreplace")
        (folder / "report.html").write_text(self.to_html(), encoding="utf-8", errors="xmlcharrefreplace")

    def to_dict(self) -> dict[str, object]:
        """All figures, and every error, in the types of JSON."""
        content: dict[str, object] = {"model": self.model, "data": self.data, **self.evaluation.to_dict()}
        if self.comparison is not None:
            differences = {
                name: asdict(difference) | {"interval": difference.interval._asdict()}
                for name, difference in self.comparison.differences.items()
            }
            content["comparison"] = {"other": self.comparison.other, "differences": differences}
        return content

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        parts = [f"# {literal(self._title)}", literal(self._introduction)]
        for section in self._sections():
            rows = [[literal(str(cell)) for cell in row] for row in section.rows]
            parts += [f"## {section.title}", literal(section.text)]
            parts.append(table([literal(name) for name in section.header], rows))
        return "\n\n".join(parts) + "\n"

    def to_html(self) -> str:
        """The tables with plots of F1, and errors of each kind in their texts, as a page that needs no other file."""
        fragments = [_STYLE, f"<p>{escape(self._introduction)}</p>"]
        fragments += [_html_section(section) for section in self._sections()]
        errors = self.evaluation.errors
        for kind, total in errors.kinds.items():
            if total:
                shown = min(total, self.max_errors)
                fragments.append(
                    f"<h3>Errors: {kind}</h3>\n<p>{_EXPLANATIONS[kind]} Shown: {shown:,} of {total:,}.</p>"
                )
                of_kind = (error for error in errors.errors if error.kind is kind)
                fragments += map(self._html_error, islice(of_kind, self.max_errors))
        return render_page(fragments, self._title)

    @property
    def _title(self) -> str:
        return f"{self.model} on {self.data}"

    @property
    def _introduction(self) -> str:
        counts = self.evaluation.types.metrics.micro
        return (
            f"Texts: {len(self.evaluation.documents):,}; gold entities: {counts.gold:,}; predictions: "
            f"{counts.predicted:,}, right of these, with type, start and end: {counts.correct:,}. Behind each score "
            "stands its 95 % confidence interval, from a bootstrap of 1,000 resamples of the texts; a dash stands "
            "where there is neither a gold entity nor a prediction."
        )

    def _sections(self) -> list[_Section]:
        evaluation = self.evaluation
        sections = [
            self._types(),
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
            self._parts(),
            self._kinds(),
            self._confusion(),
        ]
        if self.comparison is not None:
            sections.insert(1, _compared(self.comparison))
        return sections

    def _types(self) -> _Section:
        metrics, intervals = self.evaluation.types.metrics, self.evaluation.types.intervals
        rows = [
            *_rows(self.evaluation.types),
            ["micro", *_scores(metrics.micro.to_dict(), intervals.micro), *_numbers(metrics.micro)],
            ["macro", *_scores(metrics.macro, intervals.macro), "", "", ""],
        ]
        return _Section("By type", "Macro is the mean over the types that occur.", _header("type"), rows)

    def _parts(self) -> _Section:
        errors = self.evaluation.errors
        rows: list[list[_Cell]] = [
            [name, *shown_ratios(counts), *_numbers(counts)]
            for name, counts in (
                ("type, start and end", self.evaluation.types.metrics.micro),
                ("start and end", errors.boundaries),
                ("type", errors.labels),
            )
        ]
        text = (
            "With start and end alone, each span counts once, whatever its labels; with the type alone, spans need "
            "but overlap, and as many gold entities as can be are paired, each with a prediction of its own."
        )
        return _Section("What must be right", text, _header("must be right"), rows)

    def _kinds(self) -> _Section:
        rows = [
            [kind.value, gold or "", predicted or "", count]
            for kind, gold, predicted, count in self.evaluation.errors.frequent()[: self.max_errors]
        ]
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.evaluation.errors.kinds.items())
        text = f"Errors: {len(self.evaluation.errors.errors):,}, each gold entity and prediction in one: {kinds}."
        return _Section("Most frequent errors", text, ["error", "gold", "predicted", "count"], rows)

    def _confusion(self) -> _Section:
        labels, confusion = self.evaluation.labels, self.evaluation.errors.confusion
        sides: list[tuple[str, str | None]] = [*((label, label) for label in labels), ("", None)]
        rows: list[list[_Cell]] = [
            [name or "no such span", *(confusion[gold, predicted] for _, predicted in sides[: None if gold else -1])]
            for name, gold in sides
        ]
        rows[-1].append("")
        text = "Entities that have the same start and end: gold labels in rows, predicted ones in columns."
        return _Section("Confusion of labels", text, ["gold", *labels, "no such span"], rows)

    def _html_error(self, error: SpanError) -> str:
        text = self.evaluation.documents[error.document]
        example = text.example
        concerned = [entity for entity in (error.gold, error.predicted) if entity is not None]
        start = max(min(entity.start for entity in concerned) - _CONTEXT, 0)
        end = min(max(entity.end for entity in concerned) + _CONTEXT, len(example.text))
        before, after = "… " * (start > 0), " …" * (end < len(example.text))
        excerpt = before + example.text[start:end] + after

        def place(e: Entity) -> tuple[int, int]:
            """Where it is in the excerpt; what goes on beyond it takes in the dots."""
            first = 0 if e.start < start else e.start - start + len(before)
            return first, len(excerpt) if e.end > end else e.end - start + len(before)

        def shown(entities: Iterable[Entity], score: Callable[[Entity], float]) -> str:
            spans = (CharSpan(*place(e), e.label, score(e)) for e in entities if e.start < end and e.end > start)
            return render(excerpt, entities_of(excerpt, spans), self.evaluation.labels)

        sides = ((side, entity) for side, entity in (("gold", error.gold), ("predicted", error.predicted)) if entity)
        what = "; ".join(
            f"{side} <b>{escape(entity.label)}</b> “{escape(example.text[entity.start : entity.end])}”"
            for side, entity in sides
        )
        name = f"text {error.document + 1}" if example.id is None else str(example.id)
        return (
            f'<div class="gp-error"><p>{escape(name)}: {what}</p>\n'
            f'<div><span class="gp-side">gold</span>{shown(text.gold, lambda _: 1.0)}</div>\n'
            f'<div><span class="gp-side">predicted</span>{shown(text.predicted, text.predicted.__getitem__)}</div>\n'
            "</div>"
        )


def shown_ratios(counts: SpanCounts, ratios: Mapping[str, float] | None = None) -> list[str]:
    """Precision, recall and F1 for a table, each a dash where there is neither a gold span nor a prediction.

    Args:
        counts (`SpanCounts`): What was scored.
        ratios (`Mapping[str, float]`, *optional*, defaults to those of the counts): The three, such as macro means.
    """
    values = (counts.to_dict() if ratios is None else ratios).values()
    return [f"{value:.4f}" if counts.gold or counts.predicted else _NO_SCORE for value in values]


def _by_group(title: str, text: str, name: str, breakdown: Breakdown) -> _Section:
    return _Section(title, text, _header(name), _rows(breakdown))


def _compared(comparison: Comparison) -> _Section:
    rows: list[list[_Cell]] = [
        [
            name.replace("_", " "),
            f"{difference.first:.4f}",
            f"{difference.second:.4f}",
            f"{difference.value:+.4f} [{difference.interval.low:+.4f}, {difference.interval.high:+.4f}]",
            f"{difference.p_value:.4f}",
        ]
        for name, difference in comparison.differences.items()
    ]
    text = (
        f"The other model is {comparison.other}. The 95 % confidence interval of the difference is that of a paired "
        "bootstrap of the texts; p is that of approximate randomisation, two-sided."
    )
    return _Section("Compared with another model", text, ["score", "this model", "other", "difference", "p"], rows)


def _header(name: str) -> list[str]:
    return [name, "precision", "recall", "F1", "gold", "predicted", "right"]


def _rows(breakdown: Breakdown) -> list[list[_Cell]]:
    intervals = breakdown.intervals.per_label
    return [
        [name, *_scores(counts.to_dict(), intervals[name]), *_numbers(counts)]
        for name, counts in breakdown.metrics.per_label.items()
    ]


def _scores(ratios: Mapping[str, float], intervals: Mapping[str, Interval | None]) -> list[_Cell]:
    return [
        _NO_SCORE if interval is None else _Score(ratios[ratio], interval) for ratio, interval in intervals.items()
    ]


def _numbers(counts: SpanCounts) -> list[_Cell]:
    return [counts.gold, counts.predicted, counts.correct]


def _html_section(section: _Section) -> str:
    """The table, with a column that plots F1 where there is F1 with its interval."""
    plotted = any(isinstance(cell, _Score) for row in section.rows for cell in row)
    header = [*map(escape, section.header), *([_plot_axis()] if plotted else [])]
    lines = ["".join(f"<th>{cell}</th>" for cell in header)]
    for row in section.rows:
        cells = [_html_cell(cell) for cell in row]
        f1 = row[3] if plotted else None
        if isinstance(f1, _Score):
            cells.append(_plot(f1))
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines[1:])
    return (
        f'<h2>{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>\n<div class="gp-scroll"><table>\n'
        f"<thead><tr>{lines[0]}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _html_cell(cell: _Cell) -> str:
    if isinstance(cell, _Score):
        return f"{cell.value:.4f}<small>{cell.interval.low:.3f} to {cell.interval.high:.3f}</small>"
    return f"{cell:,}" if isinstance(cell, int) else escape(cell)


def _plot(score: _Score) -> str:
    """A dot for F1 with a line for its interval, between 0 and 1."""
    x, low, high = (6 + 188 * value for value in (score.value, *score.interval))
    return (
        f'<svg width="200" height="16" role="img"><title>{score}</title>{_GRID}'
        f'<path d="M{low:.1f} 8H{high:.1f}" stroke="#2a6fb0" stroke-width="3"/>'
        f'<circle cx="{x:.1f}" cy="8" r="4" fill="#123f6d"/></svg>'
    )


_GRID = "".join(f'<path d="M{6 + 47 * step} 0V16" stroke="#ddd"/>' for step in range(5))


def _plot_axis() -> str:
    marks = ((6, "start", "0"), (100, "middle", "F1 0.5"), (194, "end", "1"))
    texts = "".join(f'<text x="{x}" y="12" text-anchor="{anchor}">{text}</text>' for x, anchor, text in marks)
    return f'<svg width="200" height="16" font-size="12">{texts}</svg>'
