"""brat standoff: a folder with a text in `name.txt` and its entities in `name.ann`."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..readers.brat import one_line
from ..report import OnProblem
from ..schema import DataError, Entity, Example


# Line ends within an entity; those at its edges are kept in it, so that it is read back as it was.
_BREAK = re.compile(r"(?<=[^\r\n])[\r\n]+(?=[^\r\n])")


def write_brat(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write two files for each example, named by its id, or by its number if it has none.

    Raises:
        DataError: If two examples have one name, an id names no file in the folder, a label holds a blank, or a text
            holds half of a surrogate pair.
    """
    path.mkdir()
    for index, example in enumerate(examples, start=1):
        id = f"{index:07}" if example.id is None else str(example.id)
        _check_name(id, example.name)
        lines = []
        for number, entity in enumerate(example.entities, start=1):
            if any(character.isspace() for character in entity.label):
                raise DataError(f"{example.name}: brat's types hold no blanks, but {entity.label!r} does; rename it.")
            fragments = _fragments(example.text, entity)
            places = ";".join(f"{start} {end}" for start, end in fragments)
            surface = one_line(" ".join(example.text[start:end] for start, end in fragments))
            lines.append(f"T{number}\t{entity.label} {places}\t{surface}\n")
        try:
            files = {".txt": example.text.encode(), ".ann": "".join(lines).encode()}
        except UnicodeEncodeError as error:
            raise DataError(f"{example.name}: the text holds half of a surrogate pair; write JSON Lines.") from error
        stem = path / id
        stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in files.items():
            try:
                with stem.with_name(stem.name + suffix).open("xb") as file:
                    file.write(content)
            except FileExistsError:
                raise DataError(
                    f"{example.name}: {id}.txt is there already, of an example with this id or number; give each "
                    "example an id of its own."
                ) from None


def _fragments(text: str, entity: Entity) -> list[tuple[int, int]]:
    """Start and end of the pieces in which brat stores an entity that runs over the ends of lines."""
    breaks = _BREAK.finditer(text[entity.start : entity.end])
    edges = [entity.start, *(entity.start + edge for found in breaks for edge in found.span()), entity.end]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _check_name(id: str, name: str) -> None:
    parts = id.split("/")
    if any(p in ("", ".", "..") or not p.isprintable() or "\\" in p or len(p.encode()) > 200 for p in parts):
        raise DataError(f"{name}: the id {id[:60]!r} names no file in the folder; give the example a plainer one.")
