"""Text and tables as Markdown."""

import re
from collections.abc import Iterable, Sequence


# What means something to Markdown, the names of emoji, people and issues among it.
_SPECIAL = re.compile(r"[\\`*_\[\]~$]|<(?=[A-Za-z/!?])|&(?=[A-Za-z#])|#(?=\w)|@(?=\w)|:(?=[\w+-]+:|//)|^[#>]")


def literal(text: str) -> str:
    """Text as Markdown that shows just this text, in one line."""
    escaped = _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
    # A pipe ends a cell of a table even where it is escaped twice.
    return escaped.replace("|", "&#124;")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
