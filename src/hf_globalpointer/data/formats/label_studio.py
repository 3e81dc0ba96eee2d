"""Label Studio's exports: arrays of `{"id", "data": {"text"}, "annotations": [{"result": [...]}]}`, or of JSON-MIN."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_surface, entity_label, optional_id, preview, require_field, require_objects, require_type
from .records import json_text, parsed_records


def read_label_studio(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each task, from the one annotation that was not canceled.

    The text is `data.text`, or the only string in `data`. A region with several labels is an entity for each. Offsets
    are characters, or UTF-16 units, as in versions before October 2021, where only these give the region's own text.
    A record of JSON-MIN has one annotation, in `label`, and its text in `text`.

    Problems: a task without an annotation is left out, where it must be labeled; of several annotations the first is
    read; a labeled region that is no span of the text (of audio, a picture or HTML), and one without a label, are
    left out. Choices, ratings and relations are not read.

    Raises:
        DataError: If a field is missing or of another kind, or the text at a region's place is not the region's.
    """
    for task in parsed_records(path, lambda record, source: _Task(record, source, labeled)):
        for problem in task.problems:
            on_problem(f"{task.source}: {problem}")
        if task.example is not None:
            yield task.example


def write_label_studio(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write an array of annotated tasks; the reader gives all of it back, but `source`.

    Regions are for Label Studio's template of named entities: `<Labels name="label" toName="text">` over
    `<Text name="text" value="$text"/>`.
    """
    _write_tasks(examples, path, "annotations")


def write_label_studio_predictions(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """As [`write_label_studio`], with entities that Label Studio shows as predictions, for annotators to correct."""
    _write_tasks(examples, path, "predictions")


def _write_tasks(examples: Iterable[Example], path: Path, name: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        separator = "["
        for example in examples:
            id = {} if example.id is None else {"id": example.id}
            regions = [_region(number, example.text, entity) for number, entity in enumerate(example.entities)]
            task = {**id, "data": {"text": example.text}, name: [{"result": regions}]}
            file.write(f"{separator}\n{json_text(task)}")
            separator = ","
        file.write("\n]\n")


def _region(number: int, text: str, entity: Entity) -> dict[str, Any]:
    value = {"start": entity.start, "end": entity.end, "text": text[entity.start : entity.end]}
    return {
        "id": f"entity-{number}",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {**value, "labels": [entity.label]},
    }


class _Task:
    """The example of a task, if it has one, and the problems of reading it.

    Args:
        record (`dict[str, Any]`): The task.
        source (`str`): Where it was read.
        labeled (`bool`): Whether it must be labeled.
    """

    def __init__(self, record: dict[str, Any], source: str, labeled: bool) -> None:
        self.source = source
        self.problems: list[str] = []
        is_minimal = "data" not in record and "text" in record
        self._text = require_field(record, "text", str) if is_minimal else _text(require_field(record, "data", dict))
        entities = self._minimal(record, labeled) if is_minimal else self._full(record, labeled)
        self.example = None if entities is None else Example(self._text, tuple(entities), optional_id(record), source)

    def _minimal(self, record: dict[str, Any], labeled: bool) -> list[Entity]:
        """The entities of a record of JSON-MIN, where an annotation without regions has no field for them."""
        regions = require_objects(record, "label", labeled and "annotation_id" not in record)
        return [entity for where, value in regions for entity in self._labeled(value, where)]

    def _full(self, record: dict[str, Any], labeled: bool) -> list[Entity] | None:
        """The entities of the first annotation; none if the task is left out."""
        # "completions" before Label Studio 1.0.
        name = "annotations" if "annotations" in record or "completions" not in record else "completions"
        annotations = [item for item in require_objects(record, name, labeled) if not item[1].get("was_canceled")]
        if not annotations and labeled:
            self.problems.append("the task has no annotation; it is left out.")
            return None
        if len(annotations) > 1:
            self.problems.append(f"the task has {len(annotations)} annotations; the first is read.")
        entities: list[Entity] = []
        for where, annotation in annotations[:1]:
            for path, region in require_objects(annotation, "result", True, where):
                if str(region.get("type", "labels")).endswith("labels"):
                    entities += self._labeled(require_field(region, "value", dict, path), f"{path}.value")
        return entities

    def _labeled(self, value: dict[str, Any], where: str) -> list[Entity]:
        """An entity for each label of a region."""
        start, end = value.get("start"), value.get("end")
        if not isinstance(start, int) or not isinstance(end, int):
            self.problems.append(f"{where} is no span of the text ({preview(value)}); it is left out.")
            return []
        for name in ("start", "end"):
            require_type(value[name], int, f"{where}.{name}")
        labels = require_field(value, "labels", list, where) if "labels" in value else []
        if not labels:
            self.problems.append(f"{where} has no labels ({preview(value)}); it is left out.")
            return []
        if "text" in value:
            surface = require_field(value, "text", str, where)
            start, end = _in_characters(self._text, start, end, surface)
            check_surface(self._text, [(start, end)], surface, where)
        return [Entity(start, end, entity_label(require_type(label, str, where), where)) for label in labels]


def _text(data: dict[str, Any]) -> str:
    if "text" in data:
        return str(require_field(data, "text", str, "data"))
    texts = [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1:
        raise DataError(f"data has no field text, and {len(texts)} other strings; name the text's field text.")
    return texts[0]


def _in_characters(text: str, start: int, end: int, surface: str) -> tuple[int, int]:
    """Start and end in characters, which are UTF-16 units as given if only these have the region's own text."""
    if start < 0 or text[start:end] == surface:
        return start, end
    units = text.encode("utf-16-le", "surrogatepass")
    from_units = [len(units[: 2 * max(edge, 0)].decode("utf-16-le", "replace")) for edge in (start, end)]
    return (from_units[0], from_units[1]) if text[slice(*from_units)] == surface else (start, end)
