"""`hf-globalpointer convert`."""

from pathlib import Path
from typing import Annotated

import typer

from ..data.formats.lines import numbered_lines
from ..training.loading import loading
from ..weight_layouts import KNOWN_LAYOUTS, LAYOUTS
from .common import InputError, say


def convert(
    weights: Annotated[Path, typer.Option(help="Weights of another implementation: PyTorch state dict, safetensors.")],
    encoder: Annotated[
        str, typer.Option(help="BERT whose configuration and tokenizer go with the weights: folder or Hub id.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint; must not exist, or be empty.")],
    labels: Annotated[
        str | None, typer.Option(help="Entity types in the order of the weights, as in PER,LOC,ORG.")
    ] = None,
    labels_file: Annotated[Path | None, typer.Option(help="Or a file with the entity types, one a line.")] = None,
    layout: Annotated[
        str | None, typer.Option(help=f"Implementation that trained an Efficient GlobalPointer: {KNOWN_LAYOUTS}.")
    ] = None,
    head_size: Annotated[
        int | None, typer.Option(min=1, help="Head size of a full GlobalPointer; 64 by default.", show_default=False)
    ] = None,
    rope: Annotated[
        bool,
        typer.Option(
            help="Whether it rotates. Not if trained with RoPE=False, or as bert4torch's full GlobalPointer before "
            "0.2.7.post2."
        ),
    ] = True,
) -> None:
    """Turn weights of bert4keras, bert4torch or another PyTorch implementation into a checkpoint of this package."""
    names = _read_labels(labels, labels_file)
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"--layout must be one of {', '.join(LAYOUTS)}, got {layout}.")

    # These take seconds to import.
    from transformers import AutoTokenizer

    from ..conversion import ConversionError, convert_checkpoint
    from ..modeling.configuration_global_pointer import BertEfficientGlobalPointerConfig, BertGlobalPointerConfig
    from ..training.run_folder import check_output_folder

    with loading("encoder", encoder):
        AutoTokenizer.from_pretrained(encoder)
        for config_class in (BertGlobalPointerConfig, BertEfficientGlobalPointerConfig):
            config_class.from_pretrained(encoder)
    check_output_folder(output)
    try:
        conversion = convert_checkpoint(
            weights, encoder, names, output, LAYOUTS[layout] if layout else None, head_size, use_rope=rope
        )
    except ConversionError as error:
        raise InputError(str(error)) from error
    say(f"{conversion.summary()}\nCheckpoint is in {output}.")


def _read_labels(labels: str | None, labels_file: Path | None) -> list[str]:
    """The entity types, in order."""
    if labels is not None and labels_file is None:
        listed = labels.split(",")
    elif labels_file is not None and labels is None:
        listed = [line for _, line in numbered_lines(labels_file)]
    else:
        raise InputError("give either --labels or --labels-file.")
    names = [name.strip() for name in listed if name.strip()]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"entity type {name!r} is given twice.")
    if not names:
        raise InputError("give at least one entity type.")
    return names
