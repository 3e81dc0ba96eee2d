"""Which format a file is in, from its suffix and what it holds."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..schema import DataError
from .records import json_records
from .tags import parse_tag


_LONGEST = 1 << 12  # characters of the first line to look at


def sniff_format(path: Path, labelled: bool) -> str | None:
    """The name of the format, or none if it looks like no format known.

    A folder that holds texts is brat's, and so is a `.txt` file beside its `.ann`. Of JSON the first record that holds
    an entity tells; if none does, the formats agree. Anything else is CoNLL columns if the first line that is not
    blank ends or begins with a tag, and plain text if the suffix is `.txt`. Without labels a `.txt` file is always
    plain text.

    Raises:
        DataError: If the path is no file that can be read twice.
    """
    if path.is_dir():
        return "brat" if any(found.suffix in (".txt", ".ann") for found in path.rglob("*")) else None
    is_text = path.suffix.lower() == ".txt"
    if is_text and not labelled:
        return "text"
    if is_text and path.with_suffix(".ann").exists():
        return "brat"
    if not path.is_file():
        raise DataError(f"{path}: not a regular file, so its format cannot be found out; name it.")
    line = _first_line(path)
    values = line.split()
    # Tags come first: a token may be a bracket, but no JSON ends in a tag, unless it is cut.
    if len(values) > 1 and len(line) < _LONGEST and (parse_tag(values[-1]) or values[0] == "-DOCSTART-"):
        return "conll"
    if line.startswith(("{", "[")):
        return _json_format(path)
    if len(values) > 1 and parse_tag(values[0]):
        return "conll"
    if is_text:
        return "text"
    return "jsonl" if path.suffix.lower() in (".json", ".jsonl", ".ndjson") else None


def _first_line(path: Path) -> str:
    """The beginning of the first line that is not blank, or a comment before columns."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in iter(lambda: file.readline(_LONGEST), ""):
            if line.strip() and not (line.startswith("# ") and "=" in line):
                return line.strip("\r\n \t")
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
    if any(isinstance(record.get(name), list) for name in ("label", "labels")):
        return "doccano"
    entities = record.get("entities")
    for entity in islice(entities, 1) if isinstance(entities, list) else ():
        if isinstance(entity, list) or (isinstance(entity, dict) and "start_offset" in entity):
            return "doccano"
        return "cmeee" if isinstance(entity, dict) and "start_idx" in entity else "jsonl"
    return None
