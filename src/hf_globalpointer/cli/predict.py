"""`hf-globalpointer predict`."""

import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..data import Example, read_examples
from ..data.formats.reading import count_examples, input_format
from .common import (
    BatchSize,
    InputError,
    Model,
    OverlapOfModel,
    Thresholds,
    WindowLength,
    atomic_file,
    check_options,
    load_recognizer,
    parse_thresholds,
    recognize,
    say,
    thresholds_of,
)
from .inputs import readable_file
from .resuming import ResumableFile, interruptible
from .summary import Summary


if TYPE_CHECKING:
    from ..modeling.span_decoding import PredictedEntity
    from ..reports.visualization import HtmlFragment


_RESUME_HINT = "; the same command with --resume goes on from here"


def predict(
    model: Model,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to recognize.")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Texts to recognize: JSON Lines (.jsonl), a table with a column text (.csv, .tsv), CoNLL columns "
            "(.conll), or one text a line (.txt and others), any of them compressed (.gz) too; - is standard input.",
            callback=readable_file,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write, or to replace; standard output by default. It is FILE.partial until it is complete."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Page to write besides, or to replace, that shows the entities in their texts.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run with the same --input and --output was interrupted.")
    ] = False,
    threshold: Thresholds = None,
    overlap: OverlapOfModel = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Keep no more than this many entities of a text, the highest scores.")
    ] = None,
    max_length: WindowLength = None,
    stride: Annotated[
        int | None,
        typer.Option(min=0, help="Tokens that neighboring windows share at least; by default a quarter of a window."),
    ] = None,
    word_aligned: Annotated[
        bool | None,
        typer.Option(
            "--word-aligned/--no-word-aligned",
            help="Whether entities begin and end where words do; else as the model was trained.",
            show_default=False,
        ),
    ] = None,
    batch_size: BatchSize = 32,
) -> None:
    """Write the entities of texts as JSON Lines.

    What is done when it is interrupted, as by Ctrl-C, stays in FILE.partial; the same command with --resume goes on
    from there.
    """
    _check_arguments(texts, input, output, html, resume)
    thresholds = parse_thresholds(threshold or [])
    options: dict[str, Any] = {
        "overlap": overlap,
        "top_k": top_k,
        "max_length": max_length,
        "stride": stride,
        "word_aligned": word_aligned,
    }
    # Standard input is a copy in a folder with another name each time.
    settings = {"model": model, "input": input and input.name, "threshold": thresholds, **options}
    file = ResumableFile(output, settings) if output else None
    if resume and file and file.path.is_file() and not file.is_begun:
        say(f"{output} is complete; to write it anew, leave out --resume.")
        return
    summary = Summary([path for path in (output, html) if path])
    with interruptible(lambda: _RESUME_HINT if input and file and file.is_begun else ""):
        done = _resumed_lines(file, bool(input), resume) if file else 0
        examples, left = _examples(input, file, done) if input else (map(Example, texts or []), len(texts or []))
        recognizer = load_recognizer(model)
        options["threshold"] = thresholds_of(recognizer.labels, thresholds)
        check_options(recognizer, options)
        # Lines on a terminal and a bar would run into each other.
        show_bar = file is not None or not sys.stdout.isatty()
        found = recognize(recognizer, examples, batch_size, left, show_bar, **options)
        with closing(found), file.open() if file else nullcontext(sys.stdout) as lines:
            old = file.records(done) if file else ()
            records = summary.counting(chain(old, _write(found, lines)))
            if html:
                _write_page(html, records, recognizer.labels, input)
            deque(records, maxlen=0)
        say(str(summary))


def _check_arguments(
    texts: list[str] | None, input: Path | None, output: Path | None, html: Path | None, resume: bool
) -> None:
    """Raise an `InputError` where arguments do not go together, and say where they may be meant otherwise."""
    if bool(texts) == bool(input):
        raise InputError("give either texts or --input FILE.")
    if resume and not (input and output):
        raise InputError("--resume needs --input and --output.")
    if output and html and output.resolve() == html.resolve():
        raise InputError(f"--output and --html are both {html}; name two files.")
    for text in texts or ():
        # Unlike `Path.is_file`, it takes texts that are too long for a name.
        if os.path.isfile(text):
            say(f"{text} is taken as a text; to recognize what the file of that name holds, give --input {text}.")


def _resumed_lines(file: ResumableFile, has_input: bool, resume: bool) -> int:
    """The lines of an interrupted run that stay.

    Raises:
        InputError: If there are any, but the run is not to be resumed, or had other settings.
    """
    done = sum(1 for _ in file.lines())
    if not done:
        return 0
    if not resume:
        go_on = "go on from there with --resume, or " if has_input else ""
        raise InputError(f"{file.partial} holds what an interrupted run left; {go_on}remove it to start anew.")
    file.check_settings()
    say(f"Going on after {done} lines of {file.partial}.")
    return done


def _examples(input: Path, file: ResumableFile | None, done: int) -> tuple[Iterator[Example], int | None]:
    """The examples of an input after those that have a line, and their number, if it is known.

    The first is read here, as what is wrong with the input should be said before a model is loaded.

    Raises:
        InputError: If the lines that are done are not of the first texts of the input.
    """
    format = input_format(input, labeled=False)
    total = count_examples(input, format)
    if total is not None and total < done:
        raise InputError(f"{input} has {total} texts, fewer than the {done} lines of an interrupted run; mend it.")
    examples = read_examples(input, format, labeled=False)
    if file:
        _skip_done(examples, file.records(done), input, file.partial)
    first = list(islice(examples, 1))
    return chain(first, examples), None if total is None else total - done


def _skip_done(examples: Iterator[Example], records: Iterable[Any], input: Path, partial: Path) -> None:
    """Read past the examples that have a record.

    Raises:
        InputError: If a record is not of its example's text.
    """
    for number, record in enumerate(records, start=1):
        example = next(examples, None)
        if example is None or not isinstance(record, dict) or record.get("text") != example.text:
            raise InputError(
                f"{partial}:{number} is not of text {number} of {input}; resume with the texts that the run was begun "
                "with, or remove the file to start anew."
            )


def _write(found: Iterable[tuple[Example, list["PredictedEntity"]]], file: TextIO) -> Iterator[dict[str, Any]]:
    """Yield the record of each example once its line is written."""
    for example, entities in found:
        record = _record(example, entities)
        file.write(_json_line(record, file.encoding))
        yield record


def _write_page(path: Path, records: Iterable[dict[str, Any]], labels: Sequence[str], input: Path | None) -> None:
    """Write an HTML page of records as they come."""
    from ..reports.visualization import stream_page

    title = f"Entities of {input.name}" if input else "Entities"
    with atomic_file(path) as page:
        page.writelines(stream_page((_render(record, labels) for record in records), title, labels))


def _render(record: dict[str, Any], labels: Sequence[str]) -> "HtmlFragment":
    from ..modeling.span_decoding import CharSpan, entities_of
    from ..reports.visualization import render

    spans = [CharSpan(e["start"], e["end"], e["label"], e["score"]) for e in record["entities"]]
    return render(record["text"], entities_of(record["text"], spans), labels)


def _json_line(record: dict[str, Any], encoding: str) -> str:
    """A line of JSON, escaped where the encoding cannot hold a character of it, such as a lone surrogate."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = json.dumps(record)
    return line + "\n"


def _record(example: Example, entities: Iterable["PredictedEntity"]) -> dict[str, Any]:
    """The package's own data format, with the fields that were given and a score for each entity."""
    found = [
        {"start": e["start"], "end": e["end"], "label": e["entity_group"], "score": round(e["score"], 6)}
        for e in entities
    ]
    given = example.extra or ({} if example.id is None else {"id": example.id})
    return {**given, "text": example.text, "entities": found}
