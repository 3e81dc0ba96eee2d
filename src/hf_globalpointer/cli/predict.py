"""`hf-globalpointer predict`."""

import json
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ..data import Example, read_examples
from ..modeling.span_decoding import PredictedEntity
from .common import InputError, load_pipeline, recognise, whole_file


def predict(
    model: Annotated[str, typer.Option(help="Checkpoint folder or Hub id.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to recognise.")] = None,
    input: Annotated[
        Path | None, typer.Option(help="Texts to recognise: JSON Lines (.jsonl), or one text a line (.txt).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; standard output by default. FILE.partial until it is whole.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Probability above which a span is an entity, instead of the model's own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs in a batch: texts, or windows of long ones.")] = 32,
) -> None:
    """Write the entities of texts as JSON Lines."""
    if bool(texts) == bool(input):
        raise InputError("give either texts or --input FILE.")
    if threshold is not None and not 0 < threshold < 1:
        raise InputError(f"--threshold must be between 0 and 1, got {threshold}.")
    examples: Iterable[Example] = read_examples(input, labelled=False) if input else map(Example, texts or [])
    pipe = load_pipeline(model)
    with whole_file(output) if output else nullcontext(sys.stdout) as file:
        for example, entities in recognise(pipe, examples, batch_size, threshold=threshold):
            file.write(_json_line(_record(example, entities), file.encoding))


def _json_line(record: dict[str, object], encoding: str) -> str:
    """A line of JSON, escaped where the encoding cannot hold a character of it, such as a lone surrogate."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = json.dumps(record)
    return line + "\n"


def _record(example: Example, entities: Iterable[PredictedEntity]) -> dict[str, object]:
    """The package's own data format, with a score for each entity."""
    found = [
        {"start": e["start"], "end": e["end"], "label": e["entity_group"], "score": round(e["score"], 6)}
        for e in entities
    ]
    return ({"id": example.id} if example.id is not None else {}) | {"text": example.text, "entities": found}
