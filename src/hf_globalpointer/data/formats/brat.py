"""brat standoff: a text in `name.txt` and its entities in `name.ann`; a folder holds many."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_fragments, entity_label, preview
from .lines import numbered_lines


# Longer numbers are no offsets, and Python may refuse them.
_ENTITY = re.compile(r"(\S+) ([0-9]{1,18} [0-9]{1,18}(?:;[0-9]{1,18} [0-9]{1,18})*)")


def read_brat(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each `.txt` file of a folder and the folders in it, by name, or of one file or its `.ann`.

    The id is the file's path in the folder, without suffix. Characters are counted as brat does: a byte-order mark is
    one, and so is each of CR and LF. An entity in pieces with nothing but whitespace between them, as brat stores one
    that runs over the end of a line, is one entity. Lines other than text-bound annotations (T) are not read.

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
        elif labeled:
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
            raise DataError(f"{where}: {preview(line)} is no annotation of brat; correct the line.")
        if line[0] != "T":
            continue
        id, *fields = line.split("\t", 2)
        match = _ENTITY.fullmatch(fields[0]) if len(fields) == 2 else None
        if match is None:
            raise DataError(
                f"{where}: {preview(line)} must be an id, a type with start and end, and the entity's text, with tabs."
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


# Line ends within an entity; those at its edges are kept in it, so that it is read back as it was.
_BREAK = re.compile(r"(?<=[^\r\n])[\r\n]+(?=[^\r\n])")


def write_brat(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write two files for each example, named by its id, or by its number if it has none.

    Raises:
        DataError: If two examples have one name, an id names no file in the folder, a label holds whitespace, or a
            text holds half of a surrogate pair.
    """
    path.mkdir()
    for index, example in enumerate(examples, start=1):
        id = f"{index:07}" if example.id is None else str(example.id)
        _check_name(id, example.name)
        lines = []
        for number, entity in enumerate(example.entities, start=1):
            if any(character.isspace() for character in entity.label):
                raise DataError(
                    f"{example.name}: a type in brat has no whitespace, but {entity.label!r} has; rename it."
                )
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
