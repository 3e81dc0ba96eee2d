"""brat standoff: a folder with a text in `name.txt` and its entities in `name.ann`."""

from collections.abc import Iterable
from pathlib import Path

from ..readers.brat import one_line
from ..report import OnProblem
from ..schema import DataError, Example


def write_brat(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write two files for each example, named by its id, or by its number if it has none.

    Raises:
        DataError: If an id is given twice or names no file in the folder, a label holds a blank, or a text holds half
            of a surrogate pair.
    """
    path.mkdir()
    for index, example in enumerate(examples, start=1):
        id = f"{index:07}" if example.id is None else str(example.id)
        _check_name(id, example.name)
        lines = []
        for number, entity in enumerate(example.entities, start=1):
            if any(character.isspace() for character in entity.label):
                raise DataError(f"{example.name}: brat's types hold no blanks, but {entity.label!r} does; rename it.")
            surface = one_line(example.text[entity.start : entity.end])
            lines.append(f"T{number}\t{entity.label} {entity.start} {entity.end}\t{surface}\n")
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
                    f"{example.name}: the id {id!r} is given twice; brat's files need distinct ids."
                ) from None


def _check_name(id: str, name: str) -> None:
    parts = id.split("/")
    if any(p in ("", ".", "..") or not p.isprintable() or "\\" in p or len(p.encode()) > 200 for p in parts):
        raise DataError(f"{name}: the id {id[:60]!r} names no file in the folder; give the example a plainer one.")
