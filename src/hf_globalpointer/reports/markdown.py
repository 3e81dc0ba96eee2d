"""Text and tables as Markdown."""

from collections.abc import Iterable, Sequence


# The characters that mean something to Markdown inside a line; a pipe ends a cell of a table even where it is escaped
# twice, so it becomes a character reference.
_LITERAL = str.maketrans({**{special: f"\\{special}" for special in r"\`*_[]<>&#~:@$"}, "|": "&#124;"})


def literal(text: str) -> str:
    """Text as Markdown that shows just this text, in one line."""
    return " ".join(text.split()).translate(_LITERAL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
