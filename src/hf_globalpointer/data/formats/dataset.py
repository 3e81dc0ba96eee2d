"""A `datasets.Dataset`: columns `tokens` and `ner_tags`, or `text` and `entities`."""

from collections.abc import Iterable, Iterator
from typing import Any

from datasets import ClassLabel, Dataset, IterableDataset, LargeList, List  # type: ignore[import-untyped]

from ..data_report import DataReport, counted, refuse
from ..examples import DataError, Example
from .fields import located, require_type
from .jsonl import parse_record
from .tagged import find_scheme, tagged_example


def read_dataset(dataset: Dataset | IterableDataset, report: DataReport | None = None) -> Iterator[Example]:
    """Yield the example of each row.

    Columns `tokens` and `ner_tags`, whose tags are strings or a `ClassLabel`, are read as CoNLL columns are; `text`
    and `entities`, with `start`, `end` and `label`, as JSON Lines are, or as an object of three lists; `id` in both.
    Labels may be a `ClassLabel` too. A format such as "torch" makes no difference.

    Args:
        dataset (`Dataset` or `IterableDataset`): The rows of one split; tags are read twice, first to find their
            scheme.
        report (`DataReport`, *optional*): Counts examples, entities, and tags against the scheme, which are errors
            without it.

    Raises:
        DataError: If it is no data set with such columns, holds no rows, or a row cannot be used.
    """
    if not isinstance(dataset, Dataset | IterableDataset):
        raise DataError(
            f"a `Dataset` is needed, got `{type(dataset).__name__}`; name a split, as in dataset['train']."
        )
    on_problem = report.add if report is not None else refuse
    dataset = dataset.with_format(None)
    columns = set(dataset.column_names or next(iter(dataset), {}))
    if {"tokens", "ner_tags"} <= columns:
        names = _names(dataset, "ner_tags")
        scheme = find_scheme(_tagged_rows(dataset.select_columns("ner_tags"), names))
        examples = (tagged_example(row, source, scheme, on_problem) for source, row in _tagged_rows(dataset, names))
    elif {"text", "entities"} <= columns:
        names = _names(dataset, "entities", "label")
        examples = (_spans(row, source, names) for source, row in _rows(dataset))
    else:
        raise DataError(
            f"the data set has columns {', '.join(sorted(columns)) or 'none'}; rename them to tokens and ner_tags, or "
            "text and entities."
        )
    yield from counted(examples, report, "the data set holds no rows.")


def _rows(dataset: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, row in enumerate(dataset):
        yield f"row {index}", row


def _names(dataset: Dataset | IterableDataset, *fields: str) -> list[str] | None:
    """The names of tags or labels that are numbers, in a column or a field of its objects."""
    feature: Any = dataset.features
    for name in fields:
        feature = feature.get(name) if isinstance(feature, dict) else None
        if isinstance(feature, List | LargeList):
            feature = feature.feature
    return list(feature.names) if isinstance(feature, ClassLabel) else None


def _tagged_rows(dataset: Iterable[dict[str, Any]], names: list[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows, with the names of tags that are numbers."""
    for source, row in _rows(dataset):
        with located(f"{source}: ner_tags"):
            tags = [_named(value, names) for value in require_type(row["ner_tags"], list, "ner_tags")]
        yield source, {**row, "ner_tags": tags}


def _named(value: Any, names: list[str] | None) -> str:
    """A tag or label, which may be the number of its name."""
    if isinstance(value, str):
        return value
    if names is None or not isinstance(value, int):
        raise DataError(f"{value!r} is no string; cast the column to strings, or to a `ClassLabel`.")
    if not 0 <= value < len(names):
        raise DataError(f"{value} is none of the {len(names)} names of the `ClassLabel`.")
    return names[value]


def _spans(row: dict[str, Any], source: str, names: list[str] | None) -> Example:
    with located(source):
        entities = row["entities"]
        if isinstance(entities, dict):
            lengths = {len(require_type(values, list, f"entities.{name}")) for name, values in entities.items()}
            if len(lengths) > 1:
                raise DataError("the lists in entities are not of one length; give each entity an item in every one.")
            entities = [dict(zip(entities, values, strict=True)) for values in zip(*entities.values(), strict=True)]
        if names is not None:
            items = require_type(entities, list, "entities")
            entities = [{**item, "label": _named(item["label"], names)} for item in items]
        return parse_record({**row, "entities": entities}, True, source)
