"""Which format a file is in, from its suffix and what it holds."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..schema import DataError
from .columns import is_comment, is_document_start, split_columns
from .records import json_records
from .tags import parse_tag


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
_LONGEST = 1 << 12  # characters of the first line to look at


def sniff_format(path: Path, labelled: bool) -> str | None:
    """The name of the format, or none if it looks like no format known.

    A folder that holds texts is brat's, and so are an `.ann` file and a `.txt` file beside one. Of JSON the first
    record that holds an entity tells; if none does, the formats agree. Anything else is CoNLL columns if the first
    line that is not blank ends or begins with a tag, or begins a document, and plain text if the suffix is `.txt`; or
    the suffix tells. Without labels a `.txt` file is always plain text.

    Raises:
        DataError: If the path is no file that can be read twice.
    """
    if path.is_dir():
        return "brat" if any(found.suffix in (".txt", ".ann") for found in path.rglob("*")) else None
    suffix = path.suffix.lower()
    is_text = suffix == ".txt"
    if is_text and not labelled:
        return "text"
    if suffix == ".ann" or (is_text and path.with_suffix(".ann").exists()):
        return "brat"
    if not path.is_file():
        raise DataError(f"{path}: not a regular file, so its format cannot be found out; name it {NAMING}.")
    line = _first_line(path)
    values = split_columns(line, "\t" in line)
    # Tags come first: a token may be a bracket, but no JSON ends in a tag, unless it is cut.
    if len(values) > 1 and len(line) < _LONGEST and parse_tag(values[-1]):
        return "conll"
    if values and is_document_start(values):
        return "conll"
    if line.startswith(("{", "[")):
        return _json_format(path)
    if len(values) > 1 and parse_tag(values[0]):
        return "conll"
    if is_text:
        return "text"
    return "jsonl" if suffix == ".json" else FORMAT_OF_SUFFIX.get(suffix)


def _first_line(path: Path) -> str:
    """The beginning of the first line that is not blank, or a comment before columns."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in iter(lambda: file.readline(_LONGEST), ""):
            line = line.strip("\r\n \t")
            if line and not is_comment(split_columns(line, "\t" in line)):
                return line
    return ""


def _json_format(path: Path) -> str:
    try:
        return next(filter(None, map(_format_of, _records(path))), "jsonl")
    except DataError:
        return "jsonl"  # whose reader comes to the same mistake, and names it after what is before it


def _records(path: Path) -> Iterator[dict[str, Any]]:
    return (record for _, record in json_records(path) if isinstance(record, dict))


def _format_of(record: dict[str, Any]) -> str | None:
    """The format of a record that no other has; none if several have it."""
    if isinstance(record.get("data"), dict):
        return "label-studio"
    if "tokens" in record and "text" not in record:
        return "spert"
    if isinstance(record.get("label"), dict):
        return "cluener"
    label = record.get("label")
    if isinstance(label, list) and label and isinstance(label[0], dict) and "labels" in label[0]:
        return "label-studio"
    if any(isinstance(record.get(name), list) for name in ("label", "labels")):
        return "doccano"
    entities = record.get("entities")
    for entity in islice(entities, 1) if isinstance(entities, list) else ():
        if isinstance(entity, list) or (isinstance(entity, dict) and "start_offset" in entity):
            return "doccano"
        return "cmeee" if isinstance(entity, dict) and "start_idx" in entity else "jsonl"
    return None
