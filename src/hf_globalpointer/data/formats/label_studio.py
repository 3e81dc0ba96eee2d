"""Label Studio's exports: arrays of `{"id", "data": {"text"}, "annotations": [{"result": [...]}]}`, or of JSON-MIN."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_surface, entity_label, optional_id, preview, require_field, require_type
from .records import json_records


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
    for source, record in json_records(path):
        try:
            example = _parse(record, labeled, source, on_problem)
        except DataError as error:
            raise DataError(str(error) if str(error).startswith(source) else f"{source}: {error}") from error
        if example is not None:
            yield example


def _parse(record: Any, labeled: bool, source: str, on_problem: OnProblem) -> Example | None:
    record = require_type(record, dict, "the task")
    if "data" not in record and "text" in record:
        return _parse_min(record, labeled, source, on_problem)
    text = _text(require_field(record, "data", dict))
    # "completions" before Label Studio 1.0.
    name = "annotations" if "annotations" in record or "completions" not in record else "completions"
    annotations = []
    if labeled or name in record:
        for index, item in enumerate(require_field(record, name, list)):
            if not require_type(item, dict, f"{name}[{index}]").get("was_canceled"):
                annotations.append((item, f"{name}[{index}]"))
    if not annotations and labeled:
        on_problem(f"{source}: the task has no annotation; it is left out.")
        return None
    if len(annotations) > 1:
        on_problem(f"{source}: the task has {len(annotations)} annotations; the first is read.")
    entities: list[Entity] = []
    for annotation, where in annotations[:1]:
        for index, region in enumerate(require_field(annotation, "result", list, where)):
            entities += _entities(text, region, f"{where}.result[{index}]", source, on_problem)
    return Example(text, tuple(entities), optional_id(record), source)


def _parse_min(record: dict[str, Any], labeled: bool, source: str, on_problem: OnProblem) -> Example:
    text = require_field(record, "text", str)
    entities: list[Entity] = []
    # An annotation without regions has no field for them.
    if "label" in record or (labeled and "annotation_id" not in record):
        for index, value in enumerate(require_field(record, "label", list)):
            where = f"label[{index}]"
            entities += _labeled(text, require_type(value, dict, where), where, source, on_problem)
    return Example(text, tuple(entities), optional_id(record), source)


def _text(data: dict[str, Any]) -> str:
    if "text" in data:
        return str(require_field(data, "text", str, "data"))
    texts = [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1:
        raise DataError(f"data has no field text, and {len(texts)} other strings; name the text's field text.")
    return str(texts[0])


def _entities(text: str, region: Any, where: str, source: str, on_problem: OnProblem) -> list[Entity]:
    region = require_type(region, dict, where)
    if not str(region.get("type", "labels")).endswith("labels"):
        return []
    return _labeled(text, require_field(region, "value", dict, where), f"{where}.value", source, on_problem)


def _labeled(text: str, value: dict[str, Any], where: str, source: str, on_problem: OnProblem) -> list[Entity]:
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, int) or not isinstance(end, int):
        on_problem(f"{source}: {where} is no span of the text ({preview(value)}); it is left out.")
        return []
    for name in ("start", "end"):
        require_type(value[name], int, f"{where}.{name}")
    labels = require_field(value, "labels", list, where) if "labels" in value else []
    if not labels:
        on_problem(f"{source}: {where} has no labels ({preview(value)}); it is left out.")
        return []
    if "text" in value:
        surface = require_field(value, "text", str, where)
        in_units = _from_utf16(text, start, end)
        if start >= 0 and text[start:end] != surface and text[slice(*in_units)] == surface:
            start, end = in_units
        check_surface(text, start, end, surface, where)
    return [Entity(start, end, entity_label(require_type(label, str, where), where)) for label in labels]


def _from_utf16(text: str, start: int, end: int) -> tuple[int, int]:
    """Offsets in UTF-16 units, as offsets in characters."""
    units = text.encode("utf-16-le", "surrogatepass")
    first, last = (len(units[: 2 * max(at, 0)].decode("utf-16-le", "replace")) for at in (start, end))
    return first, last
