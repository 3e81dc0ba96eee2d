"""brat standoff: a text in `name.txt` and its entities in `name.ann`; a folder holds many."""

import re
from collections.abc import Iterator
from pathlib import Path

from ..report import OnProblem
from ..schema import DataError, Entity, Example
from .fields import shown
from .lines import numbered_lines


_ENTITY = re.compile(r"(\S+) (\d+ \d+(?:;\d+ \d+)*)")


def read_brat(path: Path, labelled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each `.txt` file of a folder and the folders in it, by name, or of the one `.txt` file.

    The id is the file's path in the folder, without suffix. Characters are counted as brat does: a byte-order mark is
    one, and so is each of CR and LF. Lines other than text-bound annotations (T) are not read.

    Problems: a discontinuous entity is left out.

    Raises:
        DataError: If one of the two files is missing, a file is not UTF-8, a line is no annotation, an annotation's id
            is given twice, or the text at an entity's place is not the entity's.
    """
    folder = path if path.is_dir() else path.parent
    texts = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if path.is_dir():
        for annotations in sorted(path.rglob("*.ann")):
            if not annotations.with_suffix(".txt").exists():
                raise DataError(f"{annotations}: there is no {annotations.stem}.txt with its text; add it.")
    for text_path in texts:
        try:
            text = text_path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{text_path}: not UTF-8 ({error}); convert the file to UTF-8.") from error
        annotations = text_path.with_suffix(".ann")
        if annotations.exists():
            entities = list(_entities(annotations, text, on_problem))
        elif labelled:
            raise DataError(f"{text_path}: there is no {annotations.name}; add it, empty if the text has no entities.")
        else:
            entities = []
        id = text_path.relative_to(folder).with_suffix("").as_posix()
        yield Example(text, tuple(entities), id, str(text_path))


def _entities(path: Path, text: str, on_problem: OnProblem) -> Iterator[Entity]:
    ids = set()
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        if line[0] not in "TREAMN*#":
            raise DataError(f"{where}: {shown(line)} is no annotation of brat; correct the line.")
        if line[0] != "T":
            continue
        id, *fields = line.split("\t", 2)
        match = _ENTITY.fullmatch(fields[0]) if len(fields) == 2 else None
        if match is None:
            raise DataError(
                f"{where}: {shown(line)} must be an id, a type with start and end, and the entity's text, with tabs."
            )
        if id in ids:
            raise DataError(f"{where}: {id} is given twice in the file; give one of the two another id.")
        ids.add(id)
        label, spans = match.groups()
        if ";" in spans:
            on_problem(f"{where}: {fields[1][:40]!r} ({label}, {spans}) is discontinuous; it is left out.")
            continue
        start, end = map(int, spans.split(" "))
        if not 0 <= start < end <= len(text) or one_line(text[start:end]) != one_line(fields[1]):
            raise DataError(
                f"{where}: {id} says {shown(fields[1])}, but characters {start} to {end} of the text are "
                f"{shown(text[start:end])}; correct the offsets, which count CR and LF each."
            )
        yield Entity(start, end, label)


def one_line(text: str) -> str:
    """The text as brat shows it in a line of annotations."""
    return text.replace("\r", " ").replace("\n", " ")
