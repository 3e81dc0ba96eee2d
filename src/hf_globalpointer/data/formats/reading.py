"""Readers of labeled text, one file a format; each yields `Example`s as it reads."""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path

from ..data_report import DataReport, OnProblem, counted, refuse
from ..examples import DataError, Example
from .brat import read_brat
from .cluener import read_cluener
from .cmeee import read_cmeee
from .conll import read_conll
from .delimited import read_csv, read_tsv
from .detection import NAMING, sniff_format
from .doccano import read_doccano
from .jsonl import read_jsonl
from .label_studio import read_label_studio
from .lines import count_lines
from .plain import read_plain
from .prodigy import read_prodigy
from .records import count_records
from .spert import read_spert
from .tagged import read_tagged


__all__ = ["FORMATS", "count_examples", "input_format", "read_examples"]

# Each takes the path, whether every example must state its entities, and what to do with a problem.
FORMATS: dict[str, Callable[[Path, bool, OnProblem], Iterator[Example]]] = {
    "jsonl": read_jsonl,
    "conll": read_conll,
    "brat": read_brat,
    "cluener": read_cluener,
    "cmeee": read_cmeee,
    "doccano": read_doccano,
    "label-studio": read_label_studio,
    "ner-tags": read_tagged,
    "prodigy": read_prodigy,
    "spert": read_spert,
    "text": read_plain,
    "csv": read_csv,
    "tsv": read_tsv,
}
_COUNTERS: dict[str, Callable[[Path], int | None]] = {"jsonl": count_records, "text": count_lines}


def input_format(path: str | PathLike[str], format: str | None = None, *, labeled: bool = True) -> str:
    """The name of the format that `read_examples` with the same arguments reads.

    Raises:
        DataError: If there is no such file or format, or none is named and the file looks like none of them.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path.")
    format = format or sniff_format(path, labeled)
    if path.is_dir() and format != "brat":
        raise DataError(f"{path}: a folder; name a file in it.")
    if format not in FORMATS:
        raise DataError(f"{path}: unknown format; name one of {', '.join(FORMATS)}, {NAMING}.")
    return format


def count_examples(path: Path, format: str) -> int | None:
    """How many examples a file holds, if to count its lines is enough to know; else none."""
    return _COUNTERS[format](path) if format in _COUNTERS else None


def read_examples(
    path: str | PathLike[str],
    format: str | None = None,
    *,
    labeled: bool = True,
    report: DataReport | None = None,
) -> Iterator[Example]:
    """Read the examples of a file, one at a time.

    A file that is malformed is an error, always. An entity that the file states well but a span of characters cannot
    express, and tags that break their scheme, are problems: they are counted in the report, each with what was done
    about it, and are errors where there is no report. Nothing else is left out.

    Args:
        path (`str` or `PathLike`): The file, which is decompressed if its name ends in `.gz`, or a folder of brat's.
        format (`str`, *optional*): `"jsonl"` (JSON Lines), `"conll"` (columns, one or more layers of tags), `"brat"`,
            `"cluener"`, `"cmeee"`, `"doccano"`, `"label-studio"`, `"ner-tags"` (`tokens` and `ner_tags`),
            `"prodigy"`, `"spert"` (also PFN), or, without entities, `"text"` (one text a line), `"csv"` and `"tsv"` (a
            header with a column `text`); by default it is detected from the suffix and the first records.
        labeled (`bool`, *optional*, defaults to `True`): Whether every example must state its entities.
        report (`DataReport`, *optional*): Counts examples, entities and problems as they are read.

    Yields:
        `Example`: In the order of the file, each with its `source`. Where the format has tokens, the text is the
        tokens joined by a space.

    Raises:
        DataError: If there is no such file, it holds no example, or a line or record cannot be used; the message names
            file, line or record, and field.
    """
    path = Path(path)
    format = input_format(path, format, labeled=labeled)
    examples = FORMATS[format](path, labeled, report.add if report is not None else refuse)
    yield from counted(examples, report, f"{path}: the {'folder' if path.is_dir() else 'file'} holds no examples.")
