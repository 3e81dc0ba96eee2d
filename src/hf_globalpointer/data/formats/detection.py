"""Which format a file is in, from its suffix and what it holds."""

import re
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from ..examples import DataError
from .lines import opened, suffix_of
from .records import json_records
from .tags import is_comment, is_document_start, parse_tag, split_columns


# How a format is named, for a file that every command may be given.
NAMING = "by `hf-globalpointer data convert --from`, or by `format` in Python"
FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".tsv": "conll",
}
# Where no labels are needed, these are texts whatever they look like.
_TEXTS = {".txt": "text", ".md": "text", ".csv": "csv"}
_BEGINS_JSON = re.compile(r"""\{\s*(["}]|$)|\[\s*([{\]]|$)""")
_LONGEST = 1 << 12  # characters of the first line to look at


def sniff_format(path: Path, labeled: bool) -> str | None:
    """The name of the format, or none if it looks like no format known.

    A folder that holds texts is brat's, and so are an `.ann` file and a `.txt` file beside one. The format of JSON is
    detected from the first record that holds an entity; if none does, the formats agree. Anything else is CoNLL
    columns if the first line that is not blank ends or begins with a tag, or begins a document; plain text if the
    suffix is `.txt`; or else what its suffix says.

    Where no labels are needed, a `.txt` or `.md` file is always plain text, and a `.csv` file a table. Columns must
    have a suffix of theirs; a `.tsv` file that holds none is a table, and what is not JSON either is plain text.

    Raises:
        DataError: If the path is no file that can be read twice.
    """
    if path.is_dir():
        return "brat" if any(found.suffix in (".txt", ".ann") for found in path.rglob("*")) else None
    suffix = suffix_of(path)
    if not labeled and suffix in _TEXTS:
        return _TEXTS[suffix]
    if suffix == ".ann" or (suffix == ".txt" and path.with_suffix(".ann").exists()):
        return "brat"
    if not path.is_file():
        raise DataError(f"{path}: not a regular file, so its format cannot be found out; name it {NAMING}.")
    line = _first_line(path)
    # Tags come first: a token may be a bracket, but no JSON ends in a tag, unless it is cut.
    if _is_columns(line) and (labeled or suffix in FORMAT_OF_SUFFIX):
        return "conll"
    if _BEGINS_JSON.match(line):
        return _json_format(path, labeled)
    if suffix == ".tsv" and not labeled:
        return "tsv"
    return {**FORMAT_OF_SUFFIX, ".json": "jsonl", ".txt": "text"}.get(suffix, None if labeled else "text")


def _first_line(path: Path) -> str:
    """The beginning of the first line that is not blank, or a comment before columns."""
    with opened(path) as file, TextIOWrapper(file, encoding="utf-8-sig", errors="replace") as text:
        for line in iter(lambda: text.readline(_LONGEST), ""):
            line = line.strip("\r\n \t")
            if line and not is_comment(split_columns(line, "\t" in line)):
                return line
    return ""


def _is_columns(line: str) -> bool:
    """Whether a line ends or begins with a tag, or begins a document."""
    values = split_columns(line, "\t" in line)
    if len(values) > 1 and (parse_tag(values[0]) or (len(line) < _LONGEST and parse_tag(values[-1]))):
        return True
    return bool(values) and is_document_start(values)


def _json_format(path: Path, labeled: bool) -> str:
    try:
        formats = (_format_of(record, labeled) for _, record in json_records(path))
        return next(filter(None, formats), "jsonl")
    except DataError:
        return "jsonl"  # whose reader comes to the same mistake, and names it after what is before it


def _format_of(record: dict[str, Any], labeled: bool) -> str | None:
    """The format of a record that no other has; none if several have it."""
    if not labeled and "text" in record:
        # Where other formats have their entities may be anything.
        return _format_of_entities(record.get("entities")) if "entities" in record else "jsonl"
    formats = (format for format, is_of_format in _FORMAT_TESTS.items() if is_of_format(record))
    return next(formats, None) or _format_of_entities(record.get("entities"))


def _is_label_studio(record: dict[str, Any]) -> bool:
    label = record.get("label")
    is_minimal = isinstance(label, list) and label and isinstance(label[0], dict) and "labels" in label[0]
    return isinstance(record.get("data"), dict) or bool(is_minimal)


def _is_prodigy(record: dict[str, Any]) -> bool:
    spans = record.get("spans")
    is_list = isinstance(spans, list) and all(isinstance(span, dict) for span in spans)
    return is_list and "text" in record and "entities" not in record


# What records of a format have and others have not, as far as they come after it here.
_FORMAT_TESTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "label-studio": _is_label_studio,
    "ner-tags": lambda record: {"tokens", "ner_tags"} <= record.keys() and "entities" not in record,
    "prodigy": _is_prodigy,
    "spert": lambda record: "tokens" in record and "text" not in record,
    "cluener": lambda record: isinstance(record.get("label"), dict),
    "doccano": lambda record: any(isinstance(record.get(name), list) for name in ("label", "labels")),
}


def _format_of_entities(entities: Any) -> str | None:
    if not isinstance(entities, list) or not entities:
        return None
    if isinstance(entities[0], list) or (isinstance(entities[0], dict) and "start_offset" in entities[0]):
        return "doccano"
    return "cmeee" if isinstance(entities[0], dict) and "start_idx" in entities[0] else "jsonl"
