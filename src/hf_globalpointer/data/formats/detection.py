"""Which format a file is in, from its suffix and what it holds."""

import re
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from ..examples import DataError
from .columns import is_comment, is_document_start, split_columns
from .lines import opened, suffix_of
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
# Where no labels are needed, these are texts whatever they look like.
_TEXTS = {".txt": "text", ".md": "text", ".csv": "csv"}
_BEGINS_JSON = re.compile(r"""\{\s*(["}]|$)|\[\s*([{\]]|$)""")
_LONGEST = 1 << 12  # characters of the first line to look at


def sniff_format(path: Path, labeled: bool) -> str | None:
    """The name of the format, or none if it looks like no format known.

    A folder that holds texts is brat's, and so are an `.ann` file and a `.txt` file beside one. Of JSON the first
    record that holds an entity tells; if none does, the formats agree. Anything else is CoNLL columns if the first
    line that is not blank ends or begins with a tag, or begins a document, and plain text if the suffix is `.txt`; or
    the suffix tells.

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
    if suffix == ".json":
        return "jsonl"
    if suffix == ".txt":
        return "text"
    if labeled:
        return FORMAT_OF_SUFFIX.get(suffix)
    return "tsv" if suffix == ".tsv" else FORMAT_OF_SUFFIX.get(suffix, "text")


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
        return next(filter(None, (_format_of(record, labeled) for record in _records(path))), "jsonl")
    except DataError:
        return "jsonl"  # whose reader comes to the same mistake, and names it after what is before it


def _records(path: Path) -> Iterator[dict[str, Any]]:
    return (record for _, record in json_records(path) if isinstance(record, dict))


def _format_of(record: dict[str, Any], labeled: bool) -> str | None:
    """The format of a record that no other has; none if several have it."""
    if not labeled and "text" in record:
        # Where other formats have their entities may be anything.
        return _format_of_entities(record) if "entities" in record else "jsonl"
    if isinstance(record.get("data"), dict):
        return "label-studio"
    if "entities" not in record:
        if "tokens" in record and "ner_tags" in record:
            return "ner-tags"
        spans = record.get("spans")
        if "text" in record and isinstance(spans, list) and all(isinstance(span, dict) for span in spans):
            return "prodigy"
    if "tokens" in record and "text" not in record:
        return "spert"
    if isinstance(record.get("label"), dict):
        return "cluener"
    label = record.get("label")
    if isinstance(label, list) and label and isinstance(label[0], dict) and "labels" in label[0]:
        return "label-studio"
    if any(isinstance(record.get(name), list) for name in ("label", "labels")):
        return "doccano"
    return _format_of_entities(record)


def _format_of_entities(record: dict[str, Any]) -> str | None:
    entities = record.get("entities")
    for entity in islice(entities, 1) if isinstance(entities, list) else ():
        if isinstance(entity, list) or (isinstance(entity, dict) and "start_offset" in entity):
            return "doccano"
        return "cmeee" if isinstance(entity, dict) and "start_idx" in entity else "jsonl"
    return None
