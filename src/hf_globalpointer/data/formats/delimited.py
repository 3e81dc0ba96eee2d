"""CSV and TSV: a text a row, in the column that the header names `text`."""

import csv
from collections.abc import Iterator
from pathlib import Path

from ..data_report import OnProblem
from ..examples import DataError, Example
from .lines import decoded_lines, opened


# A field may be as long as a text; the limit of the module is 128 KiB.
csv.field_size_limit(2**31 - 1)


def read_csv(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each row that is not blank, without entities; other columns are its `extra`.

    Fields that hold commas, quotes or line ends stand in double quotes.

    Raises:
        DataError: If the examples must be labeled, there is no column `text`, two columns have one name, a row has
            another number of fields than the header, or quotes do not match.
    """
    return _read(path, labeled, ",")


def read_tsv(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """As `read_csv`, with tabs in place of commas."""
    return _read(path, labeled, "\t")


def _read(path: Path, labeled: bool, delimiter: str) -> Iterator[Example]:
    if labeled:
        raise DataError(
            f"{path}: a table of texts has no entities; labeled data must be JSON Lines or another labeled format."
        )
    rows = _rows(path, delimiter)
    header_row = next(rows, None)
    if header_row is None:
        return
    number, header = header_row
    if "text" not in header:
        raise DataError(
            f"{path}:{number}: no column is named text; the columns are {', '.join(header)}. Rename that of the texts."
        )
    if len(set(header)) < len(header):
        raise DataError(f"{path}:{number}: two columns have one name ({', '.join(header)}); rename one.")
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}:{number}: {len(row)} fields, but the header has {len(header)}; put fields that hold "
                "delimiters or line ends in double quotes."
            )
        extra = dict(zip(header, row, strict=True))
        text = extra.pop("text")
        yield Example(text, (), extra.get("id"), f"{path}:{number}", extra)


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its first line."""
    with opened(path) as file:
        reader = csv.reader((line for _, line in decoded_lines(file, path)), delimiter=delimiter, strict=True)
        number = 1
        try:
            for row in reader:
                if row:
                    yield number, row
                number = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}:{number}: not a row of fields ({error}); write double quotes inside a quoted field twice."
            ) from error
