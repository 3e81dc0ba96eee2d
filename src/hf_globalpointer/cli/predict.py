"""`hf-globalpointer predict`."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..data import Example, read_examples
from ..data.formats.reading import count_examples, input_format
from .common import (
    InputError,
    OverlapOfModel,
    Thresholds,
    WindowLength,
    atomic_file,
    check_options,
    load_pipeline,
    parse_thresholds,
    recognize,
    say,
    thresholds_of,
)
from .inputs import readable_file
from .resuming import ResumableFile, Written, interruptible
from .summary import Summary


if TYPE_CHECKING:
    from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
    from ..modeling.span_decoding import PredictedEntity
    from ..reports.visualization import HtmlFragment


def predict(
    model: Annotated[str, typer.Option(help="Checkpoint folder or Hub id.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to recognize.")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="Texts to recognize: JSON Lines (.jsonl), a table with a column text (.csv, .tsv), or one text a "
            "line (.txt and others), any of them compressed (.gz) too; - is standard input.",
            callback=readable_file,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write, or to replace; standard output by default. It is FILE.partial until it is whole."
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
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs in a batch: texts, or windows of long ones.")] = 32,
) -> None:
    """Write the entities of texts as JSON Lines.

    What is done when it is interrupted, as by Ctrl-C, stays in FILE.partial; the same command with --resume goes on
    from there, and FILE comes out as it would have without the interruption.
    """
    if bool(texts) == bool(input):
        raise InputError("give either texts or --input FILE.")
    if resume and not (input and output):
        raise InputError("--resume needs --input and --output.")
    if output and html and output.resolve() == html.resolve():
        raise InputError(f"--output and --html are both {html}; name two files.")
    thresholds = parse_thresholds(threshold or [])
    options: dict[str, Any] = {
        "overlap": overlap,
        "top_k": top_k,
        "max_length": max_length,
        "stride": stride,
        "word_aligned": word_aligned,
    }
    summary = Summary([path for path in (output, html) if path])
    file = ResumableFile(output) if output else None
    how = "; the same command with --resume goes on from here"
    with interruptible(lambda: how if input and file and file.is_begun else ""):
        is_resumed = file is not None and file.is_begun
        if file and is_resumed and not (input and resume):
            go_on = "go on from there with --resume, or " if input else ""
            raise InputError(f"{file.partial} holds what an interrupted run left; {go_on}remove it to start anew.")
        if resume and not is_resumed and output and output.is_file():
            say(f"{output} is whole; to write it anew, leave out --resume.")
            return

        # What is wrong with the input is said before the model is loaded.
        format = input_format(input, labeled=False) if input else ""
        total = count_examples(input, format) if input else len(texts or [])
        written = file.check(_groups(input, format, batch_size), input) if file and is_resumed and input else Written()
        given = read_examples(input, format, labeled=False) if input else map(Example, texts or [])
        examples = islice(given, written.settled, None)
        first = list(islice(examples, 1))

        pipe = load_pipeline(model)
        settings = {"model": _digest(pipe), "threshold": thresholds, **options}
        if file and is_resumed:
            file.check_settings(settings)
            say(f"Going on after {written.lines} lines of {file.partial}.")
        labels = list(pipe.model.config.label2id)
        options["threshold"] = thresholds_of(labels, thresholds)
        check_options(pipe, options)

        left = None if total is None else total - written.settled
        # Lines on a terminal and a bar would run into each other.
        show_bar = file is not None or not sys.stdout.isatty()
        found = recognize(pipe, chain(first, examples), batch_size, left, show_bar, **options)
        with closing(found), file.open(written.size, settings) if file else nullcontext(sys.stdout) as lines:
            old = map(json.loads, islice(file.lines(), written.lines)) if file else ()
            new = (_record(*result) for result in islice(found, written.lines - written.settled, None))
            records = summary.counting(chain(old, _write(new, lines)))
            if html:
                _write_page(html, records, labels, f"Entities of {input.name}" if input else "Entities")
            for _ in records:
                pass
        say(str(summary))


def _groups(input: Path, format: str, batch_size: int) -> Iterator[list[dict[str, Any]]]:
    """The records of a file, still without entities, in lists of those that are recognized together."""
    from ..modeling.pipeline_global_pointer_ner import BATCHES_AT_ONCE, read_ahead

    records = (_record(example, []) for example in read_examples(input, format, labeled=False))
    return read_ahead(records, batch_size * BATCHES_AT_ONCE, lambda record: len(record["text"]))


def _digest(pipe: "GlobalPointerNerPipeline") -> str:
    """What tells a model from another in the same place, or from itself with other thresholds."""
    import torch

    digest = blake2b(pipe.model.config.to_json_string().encode(), digest_size=16)
    digest.update(pipe.tokenizer.backend_tokenizer.to_str().encode())
    for weights in pipe.model.state_dict().values():
        digest.update(weights.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _write(records: Iterable[dict[str, Any]], file: TextIO) -> Iterator[dict[str, Any]]:
    """Yield each record once its line is written."""
    for record in records:
        file.write(_json_line(record, file.encoding))
        yield record


def _write_page(path: Path, records: Iterable[dict[str, Any]], labels: Sequence[str], title: str) -> None:
    """Write an HTML page of records as they come."""
    from ..reports.visualization import stream_page

    with atomic_file(path) as page:
        page.writelines(stream_page((_render(record, labels) for record in records), title))


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
