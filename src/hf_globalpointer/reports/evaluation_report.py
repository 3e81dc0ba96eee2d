"""An evaluation to read: as Markdown, and as a page of HTML with plots and with the errors in their texts."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from os.path import basename
from pathlib import Path
from typing import Any

from ..data.examples import Entity
from ..evaluation.error_analysis import ErrorKind, SpanError
from ..evaluation.evaluation import Evaluation
from ..evaluation.missed_entities import MissedEntity
from ..modeling.span_decoding import CharSpan, entities_of
from .evaluation_tables import Comparison, Section, all_sections
from .markdown import literal, table
from .templating import TEMPLATES
from .visualization import render


# Characters of the text that are shown on either side of an error.
_CONTEXT = 100
_EXPLANATIONS = {
    ErrorKind.wrong_label: "Start and end are correct, the label is not.",
    ErrorKind.wrong_boundary: "The label is correct and the spans overlap.",
    ErrorKind.wrong_both: "The spans overlap; neither the label nor both of start and end are correct.",
    ErrorKind.missed: "No prediction is matched with this gold entity.",
    ErrorKind.spurious: "No gold entity is matched with this prediction.",
}


@dataclass(frozen=True)
class EvaluationReport:
    """A report of an evaluation.

    Args:
        model (`str`): What the model is called.
        data (`str`): What the data are called.
        evaluation (`Evaluation`): What was found.
        comparison (`Comparison`, *optional*): How another model compares.
        max_errors (`int`, *optional*, defaults to 100): How many errors of each kind the page shows: the first ones.
        misses (`Sequence[MissedEntity]`, *optional*): Why gold entities were missed, as [`explain_misses`] gives it.

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
    max_errors: int = 100
    misses: Sequence[MissedEntity] = ()

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
        content: dict[str, Any] = {"model": self.model, "data": self.data, **self.evaluation.to_dict()}
        if self.comparison is not None:
            differences = {
                name: asdict(difference) | {"interval": difference.interval._asdict()}
                for name, difference in self.comparison.differences.items()
            }
            content["comparison"] = {"other": self.comparison.other, "differences": differences}
        for error, written in zip(self.evaluation.errors.errors, content["errors"], strict=True):
            miss = self._misses.get((error.document, error.gold))
            written["why"] = miss and miss.to_dict()
        return content

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        blocks = [f"# {literal(self._title)}", literal(self._introduction)]
        for section in self._sections:
            rows = [[literal(str(cell)) for cell in row] for row in section.rows]
            blocks += [f"## {section.title}", literal(section.text)]
            blocks.append(table([literal(name) for name in section.header], rows))
        return "\n\n".join(blocks) + "\n"

    def to_html(self) -> str:
        """The tables with plots of F1, and errors of each kind in their texts, as a page that needs no other file."""
        return TEMPLATES.get_template("evaluation_report.html.jinja").render(
            title=self._title,
            introduction=self._introduction,
            sections=self._sections,
            errors_by_kind=self._errors_by_kind(),
            labels=self.evaluation.labels,
        )

    @property
    def _title(self) -> str:
        return f"{self.model} on {self.data}"

    @property
    def _introduction(self) -> str:
        counts = self.evaluation.types.metrics.micro
        return (
            f"Texts: {len(self.evaluation.documents):,}; gold entities: {counts.gold:,}; predictions: "
            f"{counts.predicted:,}, correct of these, with type, start and end: {counts.correct:,}. Behind each score "
            "stands its 95 % confidence interval, from a bootstrap of 1,000 resamples of the texts; a dash stands "
            "where there is neither a gold entity nor a prediction."
        )

    @property
    def _sections(self) -> list[Section]:
        return all_sections(self.evaluation, self.comparison, self.misses, self.max_errors)

    @cached_property
    def _misses(self) -> dict[tuple[int, Entity | None], MissedEntity]:
        return {(miss.document, miss.entity): miss for miss in self.misses}

    def _errors_by_kind(self) -> Iterator[tuple[ErrorKind, str, int, list[dict[str, Any]]]]:
        """Yield each kind that occurs, its explanation, how many errors there are, and the first ones."""
        for kind in ErrorKind:
            errors = [error for error in self.evaluation.errors.errors if error.kind is kind]
            if errors:
                shown = [self._error(error) for error in errors[: self.max_errors]]
                yield kind, _EXPLANATIONS[kind], len(errors), shown

    def _error(self, error: SpanError) -> dict[str, Any]:
        """An error for the template: its entities, and gold and predicted ones in an excerpt of the text."""
        document = self.evaluation.documents[error.document]
        example, text = document.example, document.example.text
        entities = [
            (name, entity) for name, entity in (("gold", error.gold), ("predicted", error.predicted)) if entity
        ]
        start = max(min(entity.start for _, entity in entities) - _CONTEXT, 0)
        end = min(max(entity.end for _, entity in entities) + _CONTEXT, len(text))
        # The name of its file, without those of folders.
        names = "" if example.id is None else str(example.id), basename(example.source or "")
        miss = self._misses.get((error.document, error.gold))
        before, after = "… " * (start > 0), " …" * (end < len(text))
        excerpt = before + text[start:end] + after

        def in_excerpt(entities: Iterable[Entity], score: Callable[[Entity], float]) -> str:
            spans = (
                CharSpan(
                    # What goes on beyond the excerpt takes in the dots.
                    0 if e.start < start else e.start - start + len(before),
                    len(excerpt) if e.end > end else e.end - start + len(before),
                    e.label,
                    score(e),
                )
                for e in entities
                if e.start < end and e.end > start
            )
            return render(excerpt, entities_of(excerpt, spans), self.evaluation.labels)

        return {
            "name": ", ".join(filter(None, names)) or f"text {error.document + 1}",
            # The type by which it can be hidden: that of the gold entity, if there is one.
            "label": self.evaluation.labels.index(entities[0][1].label),
            "entities": [(name, entity.label, text[entity.start : entity.end]) for name, entity in entities],
            "why": miss and miss.explain(text),
            "gold": in_excerpt(document.gold, lambda _: 1.0),
            "predicted": in_excerpt(document.predicted, document.predicted.__getitem__),
        }
