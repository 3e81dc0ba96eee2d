"""What the commands share: loading, running the pipeline with a progress bar, atomic files."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console

from ..atomic_files import atomic_path
from ..data import Example
from ..training.loading import loading
from .progress import RecognitionBar


# Of what takes seconds to import, a command imports what it needs when it needs it.
if TYPE_CHECKING:
    from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
    from ..modeling.span_decoding import PredictedEntity
    from ..modeling.text_recognizer import TextRecognizer

# A label or a path may look like an emoji's name.
messages = Console(stderr=True, emoji=False)


class Overlap(StrEnum):
    """Which entities may go together."""

    all = "all"
    nested = "nested"
    flat = "flat"


OVERLAP_HELP = (
    "Entities that may go together: all; nested, those that lie apart or one within the other; flat, those that lie "
    "apart. The higher score wins."
)


# Options that several commands have.
Model = Annotated[str, typer.Option(help="Checkpoint: folder or Hub id; or the folder of an exported model.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Inputs in a batch: texts, or windows of long ones.")]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[LABEL=]NUMBER",
        help="Probability above which a span is an entity, instead of the model's own; of one label, as in "
        "person=0.7, or of all others. May be repeated.",
    ),
]
OverlapOfModel = Annotated[
    Overlap | None, typer.Option(help=f"{OVERLAP_HELP} By default as in the training data.", show_default=False)
]
WindowLength = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tokens of the windows in which long texts are read; by default as the model was trained.",
        show_default=False,
    ),
]


class InputError(Exception):
    """Something on the command line that cannot be used; the message says what and what to do."""


def say(message: str) -> None:
    """Print a line on standard error as it is."""
    messages.print(message, markup=False, highlight=False, soft_wrap=True)


def load_pipeline(name: str) -> "GlobalPointerNerPipeline":
    """The pipeline of a checkpoint folder or Hub id.

    Raises:
        OSError: If there is none, or it is not a GlobalPointer checkpoint.
    """
    from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

    from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
    from ..registration import MODELS, TASK, register

    register()
    with loading("model", name):
        config = AutoConfig.from_pretrained(name)
        if type(config) not in MODELS:
            raise ValueError(f"it is of type {config.model_type!r}, not a GlobalPointer model; train one from it.")
        model = AutoModelForTokenClassification.from_pretrained(name)
        return GlobalPointerNerPipeline(model=model, tokenizer=AutoTokenizer.from_pretrained(name), task=TASK)


def load_recognizer(name: str) -> "TextRecognizer":
    """What recognizes entities: an exported model in its own runtime, or the pipeline of a checkpoint.

    Raises:
        InputError: If it is a checkpoint, and PyTorch or Transformers is not installed.
        OSError: If it is none of the two.
    """
    from ..runtime.settings import SETTINGS_NAME

    if (Path(name) / SETTINGS_NAME).is_file():
        from ..runtime.recognizer import Recognizer

        return Recognizer(name)
    try:
        return load_pipeline(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name} is no exported model, and to load a checkpoint takes {error.name}: pip install hf-globalpointer; "
            "or export it where that is installed."
        ) from error


def recognize(
    recognizer: "TextRecognizer",
    examples: Iterable[Example],
    batch_size: int,
    total: int | None = None,
    show_bar: bool = True,
    **options: Any,
) -> Generator[tuple[Example, list["PredictedEntity"]]]:
    """Yield each example with its predicted entities, in order, as they come, under a progress bar.

    `total` is the number of examples, if it is known, and `options` are those of the pipeline's call.
    """
    from ..modeling.text_recognizer import Options

    waiting: deque[Example] = deque()

    def texts() -> Iterator[str]:
        for example in examples:
            waiting.append(example)
            yield example.text

    bar = RecognitionBar(messages, total, show_bar)
    with bar.following(waiting) as on_batch:
        for entities in recognizer.recognize(texts(), batch_size, Options.of_call(options), on_batch):
            bar.advance()
            yield waiting.popleft(), entities


def parse_thresholds(given: Iterable[str]) -> dict[str, float]:
    """Thresholds by label, as `person=0.7`; that of "" is for all others.

    Raises:
        InputError: If one is no number between 0 and 1.
    """
    thresholds = {}
    for value in given:
        label, _, number = value.rpartition("=")
        try:
            thresholds[label] = float(number)
        except ValueError:
            raise InputError(f"--threshold must be a number, or LABEL=number, got {value}.") from None
        if not 0 < thresholds[label] < 1:
            raise InputError(f"--threshold must be between 0 and 1, got {value}.")
    return thresholds


def thresholds_of(labels: Iterable[str], thresholds: dict[str, float]) -> dict[str, float]:
    """Thresholds by label, with that of "" for each label without one of its own."""
    others = dict.fromkeys(labels, thresholds[""]) if "" in thresholds else {}
    return others | {label: number for label, number in thresholds.items() if label}


def check_options(recognizer: "TextRecognizer", options: dict[str, Any]) -> None:
    """Raise an `InputError` where a recognizer refuses options of its call."""
    try:
        recognizer("", **options)
    except ValueError as error:
        raise InputError(str(error)) from error


@contextmanager
def atomic_file(path: Path, keep: int = 0) -> Iterator[TextIO]:
    """Write a file under its name with `.partial` added, and give it its own name only once it is complete.

    Each line is on its way to the disk before the next is written, so that a killed program leaves complete lines.

    Args:
        path (`Path`): The file.
        keep (`int`, *optional*, defaults to 0): The bytes that stay of what an earlier run left under the other name.

    Raises:
        InputError: If it cannot be written.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file.")
    if str(path) == "-":
        raise InputError("cannot write -: name a file.")
    with ExitStack() as stack:
        try:
            place = stack.enter_context(atomic_path(path))
            file = stack.enter_context(place.open("a" if keep else "w", buffering=1, encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}.") from error
        if keep:
            file.truncate(keep)
        yield file
        if place.is_file():
            file.flush()
            os.fsync(file.fileno())
