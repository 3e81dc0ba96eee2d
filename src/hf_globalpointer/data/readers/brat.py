"""brat standoff: a text in `name.txt` and its entities in `name.ann`; a folder holds many."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from ..report import OnProblem
from ..schema import DataError, Entity, Example
from .fields import check_fragments, entity_label, shown
from .lines import numbered_lines


# Longer numbers are no offsets, and Python may refuse them.
_ENTITY = re.compile(r"(\S+) ([0-9]{1,18} [0-9]{1,18}(?:;[0-9]{1,18} [0-9]{1,18})*)")


def read_brat(path: Path, labelled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each `.txt` file of a folder and the folders in it, by name, or of one file or its `.ann`.

    The id is the file's path in the folder, without suffix. Characters are counted as brat does: a byte-order mark is
    one, and so is each of CR and LF. An entity in pieces with nothing but blanks between them, as brat stores one that
    runs over the end of a line, is whole. Lines other than text-bound annotations (T) are not read.

    Problems: a discontinuous entity is left out.

    Raises:
        DataError: If one of the two files is missing, a file is not UTF-8, a line is no annotation, an annotation's id
            is given twice, or the text at an entity's place is not the entity's.
    """
    if path.is_dir():
        folder, texts, annotated = path, sorted(path.rglob("*.txt")), sorted(path.rglob("*.ann"))
    elif path.suffix == ".ann":
        folder, texts, annotated = path.parent, [path.with_suffix(".txt")], [path]
    else:
        folder, texts, annotated = path.parent, [path], []
    for annotations in annotated:
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
    flat = one_line(text)
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
        label, places = match.groups()
        fragments = [(int(start), int(end)) for start, end in (place.split(" ") for place in places.split(";"))]
        entity_label(label, f"{where}: the type of {id}")
        try:
            check_fragments(flat, fragments, one_line(fields[1]), id)
        except DataError as error:
            raise DataError(f"{where}: {error} CR and LF count as one character each.") from error
        gaps = [(end, start) for (_, end), (start, _) in pairwise(fragments)]
        if any(end > start or text[end:start].strip() for end, start in gaps):
            on_problem(f"{where}: {fields[1][:40]!r} ({label}, {places}) is discontinuous; it is left out.")
            continue
        yield Entity(fragments[0][0], fragments[-1][1], label)


def one_line(text: str) -> str:
    """The text as brat shows it in a line of annotations."""
    return text.replace("\r", " ").replace("\n", " ")
