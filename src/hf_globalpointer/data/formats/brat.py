"""brat standoff: a text in `name.txt` and its entities in `name.ann`; a folder holds many."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_surface, entity_label, preview
from .lines import numbered_lines


# Id, label, one or more pairs of start and end, and text. Longer numbers are no offsets, and Python may refuse them.
_TEXT_BOUND = re.compile(r"([^\t]*)\t(\S+) ([0-9]{1,18} [0-9]{1,18}(?:;[0-9]{1,18} [0-9]{1,18})*)\t(.*)", re.DOTALL)


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
    folder = path if path.is_dir() else path.parent
    for text_path in _text_paths(path):
        try:
            text = text_path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{text_path}: not UTF-8 ({error}); convert the file to UTF-8.") from error
        annotations = text_path.with_suffix(".ann")
        if labeled and not annotations.exists():
            raise DataError(f"{text_path}: there is no {annotations.name}; add it, empty if the text has no entities.")
        entities = tuple(_entities(annotations, text, on_problem)) if annotations.exists() else ()
        id = text_path.relative_to(folder).with_suffix("").as_posix()
        yield Example(text, entities, id, str(text_path))


def _text_paths(path: Path) -> list[Path]:
    """The `.txt` files of a folder, or the one that is named or whose `.ann` is."""
    if path.is_dir():
        for annotations in sorted(path.rglob("*.ann")):
            _text_path(annotations)
        return sorted(path.rglob("*.txt"))
    return [_text_path(path) if path.suffix == ".ann" else path]


def _text_path(annotations: Path) -> Path:
    path = annotations.with_suffix(".txt")
    if not path.exists():
        raise DataError(f"{annotations}: there is no {path.name} with its text; add it.")
    return path


def _entities(path: Path, text: str, on_problem: OnProblem) -> Iterator[Entity]:
    ids: set[str] = set()
    shown = one_line(text)
    for number, line in numbered_lines(path):
        place = f"{path}:{number}"
        if line.strip() and line[0] not in "TREAMN*#":
            raise DataError(f"{place}: {preview(line)} is no annotation of brat; correct the line.")
        if not line.startswith("T"):
            continue
        match = _TEXT_BOUND.fullmatch(line)
        if match is None:
            raise DataError(
                f"{place}: {preview(line)} must be an id, a type with start and end, and the entity's text, with tabs."
            )
        id, label, places, surface = match.groups()
        if id in ids:
            raise DataError(f"{place}: {id} is given twice in the file; give one of the two another id.")
        ids.add(id)
        entity_label(label, f"{place}: the type of {id}")
        starts, ends = zip(*(map(int, pair.split(" ")) for pair in places.split(";")), strict=True)
        fragments = list(zip(starts, ends, strict=True))
        try:
            check_surface(shown, fragments, one_line(surface), id)
        except DataError as error:
            raise DataError(f"{place}: {error} CR and LF count as one character each.") from error
        if all(end <= start and not text[end:start].strip() for end, start in zip(ends, starts[1:], strict=False)):
            yield Entity(starts[0], ends[-1], label)
        else:
            on_problem(f"{place}: {surface[:40]!r} ({label}, {places}) is discontinuous; it is left out.")


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
    steps = id.split("/")
    if any(s in ("", ".", "..") or not s.isprintable() or "\\" in s or len(s.encode()) > 200 for s in steps):
        raise DataError(f"{name}: the id {id[:60]!r} names no file in the folder; give the example a plainer one.")
