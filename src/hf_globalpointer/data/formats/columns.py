"""A line of columns: its values, and whether it is a comment or begins a document."""

from .tags import OUTSIDE, parse_tag


def split_columns(line: str, tabs: bool) -> list[str]:
    """The values of a line that are separated by tabs, or else by whitespace."""
    return line.split("\t") if tabs else [value for value in line.split(" ") if value]


def is_comment(values: list[str]) -> bool:
    """Whether a line before a sentence is a comment, such as "# id = 1": `#`, a blank, and no tag at the end."""
    return values[0][:2].strip() == "#" and values[-1] != "_" and parse_tag(values[-1]) is None


def is_document_start(values: list[str]) -> bool:
    """Whether a line begins a document, as in CoNLL-2003."""
    return values[0] == "-DOCSTART-" and parse_tag(values[-1]) in (None, OUTSIDE)
