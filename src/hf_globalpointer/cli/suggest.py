"""`hf-globalpointer suggest`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..data import read_examples, write_examples
from ..data.formats.reading import count_examples, input_format
from ..data.formats.writing import WRITERS, writable_format
from .common import BatchSize, InputError, Model, WindowLength, check_options, load_recognizer, recognize, say
from .inputs import readable_file


def suggest(
    model: Model,
    input: Annotated[
        Path, typer.Option(help="Texts to choose from, in any format; - is standard input.", callback=readable_file)
    ],
    output: Annotated[Path, typer.Option(help="File to write, or to replace; for brat, a new folder.")],
    target: Annotated[
        str | None, typer.Option("--to", help=f"Format of OUTPUT: {', '.join(WRITERS)}; else what its suffix says.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many texts to choose.")] = 200,
    max_length: WindowLength = None,
    batch_size: BatchSize = 32,
) -> None:
    """Choose the texts whose annotation would teach a model most, and write them with its entities, to be corrected.

    They are those with the most spans near the thresholds, each text with others; the first teaches most.
    """
    target = writable_format(output, target)
    format = input_format(input, labeled=False)
    examples = read_examples(input, format, labeled=False)
    recognizer = load_recognizer(model)
    if target == "conll" and recognizer.settings.overlap != "flat":
        raise InputError(
            f"{output}: columns hold no overlapping entities, and {model} may find some; take another format (--to)."
        )

    # It imports NumPy, which help and wrong arguments do without.
    from ..evaluation.suggestions import choose_suggestions, suggestion_options

    options = suggestion_options(recognizer) | {"max_length": max_length}
    check_options(recognizer, options)
    total = count_examples(input, format)
    found = recognize(recognizer, examples, batch_size, total, **options)
    chosen = choose_suggestions(found, recognizer.settings, top)
    if not chosen:
        say(f"Nothing was written: the model has no doubts about the texts of {input}.")
        raise typer.Exit(1)
    examples = (each.example for each in chosen)
    if target == "brat":
        # Its files are named by ids; without them, by the place in the order.
        examples = (replace(example, id=None) for example in examples)
    write_examples(examples, output, target, predicted=True)
    entities = sum(len(each.example.entities) for each in chosen)
    say(
        f"{output} has {len(chosen)} texts with {entities} entities to correct, the most instructive first: the "
        f"doubts about it add up to {chosen[0].value:.2f}, those about the last to {chosen[-1].value:.2f}."
    )
