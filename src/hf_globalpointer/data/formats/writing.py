"""Writers of labeled text, one file a format; each writes as it is given examples."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path

from ...atomic_files import atomic_path, partial_path
from ..data_report import DataReport, OnProblem, refuse
from ..examples import DataError, Example
from .brat import write_brat
from .conll import write_conll
from .detection import FORMAT_OF_SUFFIX
from .doccano import write_doccano
from .fields import entity_label
from .jsonl import write_jsonl
from .label_studio import write_label_studio, write_label_studio_predictions


__all__ = ["WRITERS", "output_format", "write_examples"]

Writer = Callable[[Iterable[Example], Path, OnProblem], None]

# Each takes the examples, the path, and what to do with a problem.
WRITERS: dict[str, Writer] = {
    "jsonl": write_jsonl,
    "conll": write_conll,
    "brat": write_brat,
    "doccano": write_doccano,
    "label-studio": write_label_studio,
}
# Of the formats that tell predictions from annotations.
_PREDICTION_WRITERS: dict[str, Writer] = {"label-studio": write_label_studio_predictions}


def output_format(path: str | PathLike[str], format: str | None = None) -> str:
    """The format to write a path in: the one that is named, or that of the suffix; a folder is brat's.

    Raises:
        DataError: If there is no such writer, none is named and the suffix is of none, or the path is `-`.
    """
    path = Path(path)
    if str(path) == "-":
        raise DataError("-: standard output takes no examples; name a file.")
    format = format or FORMAT_OF_SUFFIX.get(path.suffix.lower()) or ("brat" if path.is_dir() else None)
    if format not in WRITERS:
        raise DataError(
            f"{path}: cannot tell the format to write; name one of {', '.join(WRITERS)}, by --to, or by `format` in "
            "Python."
        )
    return format


def writable_format(path: Path, format: str | None = None) -> str:
    """As [`output_format`], of a path that can be written in the format.

    Raises:
        DataError: If it cannot: for brat it must be a new or empty folder, else it must be no folder.
    """
    format = output_format(path, format)
    if format == "brat" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: exists and is not an empty folder; choose another or remove it.")
    if format != "brat" and path.is_dir():
        raise DataError(f"{path}: a folder; name a file.")
    return format


def write_examples(
    examples: Iterable[Example],
    path: str | PathLike[str],
    format: str | None = None,
    *,
    predicted: bool = False,
    report: DataReport | None = None,
) -> None:
    """Write examples as they come, under the name with `.partial` added until all are written; or nothing.

    Args:
        examples (`Iterable[Example]`): The examples; what their reading raises passes through.
        path (`str` or `PathLike`): The file, or for brat the folder, which must be new or empty.
        format (`str`, *optional*): `"jsonl"` (JSON Lines), `"conll"` (IOB2 columns), `"brat"`, `"doccano"` or
            `"label-studio"`; by default that of the suffix; a folder is brat's.
        predicted (`bool`, *optional*, defaults to `False`): Whether the entities are predictions, which Label Studio
            keeps apart from annotations.
        report (`DataReport`, *optional*): Counts problems, which are errors without it.

    Raises:
        DataError: If the format cannot hold an example, or the folder is not empty.
        OSError: If the path cannot be written.
    """
    path = Path(path)
    format = writable_format(path, format)
    partial = partial_path(path)
    if partial.is_dir():
        raise DataError(f"{partial}: left by a run that did not end, or in use by another; remove it.")
    place = None
    try:
        with atomic_path(path) as place:
            writers = WRITERS | _PREDICTION_WRITERS if predicted else WRITERS
            writers[format](_checked(examples), place, report.add if report is not None else refuse)
    except BaseException:
        # Without a place, what is there is another writer's; a pipe or a device stays.
        if place == partial:
            _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _checked(examples: Iterable[Example]) -> Iterator[Example]:
    """The examples, of which there must be one, with labels that the readers take."""
    empty = True
    for example in examples:
        empty = False
        for entity in example.entities:
            entity_label(entity.label, f"{example.name}: the label")
        yield example
    if empty:
        raise DataError("there are no examples to write.")
