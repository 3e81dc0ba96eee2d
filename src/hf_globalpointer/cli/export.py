"""`hf-globalpointer export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..data import read_examples
from .common import InputError, load_pipeline, say
from .inputs import readable_file


class Format(StrEnum):
    """The runtimes that a model is exported for."""

    onnx = "onnx"
    openvino = "openvino"


class Dtype(StrEnum):
    """The types that an exported model computes in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Quantization(StrEnum):
    """The types that an encoder's weights are rounded to."""

    int8 = "int8"


def export(
    model: Annotated[str, typer.Option(help="Checkpoint: folder or Hub id.")],
    output: Annotated[Path, typer.Option(help="Folder for the exported model; must not exist, or be empty.")],
    format: Annotated[Format, typer.Option(help="The runtime it is for.")] = Format.onnx,
    dtype: Annotated[
        Dtype, typer.Option(help="What to compute in; bfloat16 for openvino, where the processor has it.")
    ] = Dtype.float32,
    quantize: Annotated[
        Quantization | None,
        typer.Option(
            help="Round the encoder to 8 bits; the head stays in float32. For openvino, on processors with VNNI."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Examples to compare both models on, and to round by: development data, never test data.",
            callback=readable_file,
        ),
    ] = None,
    max_f1_loss: Annotated[
        float, typer.Option(min=0, help="By how many points of F1 the exported model may be worse on these.")
    ] = 0.5,
) -> None:
    """Export a checkpoint to ONNX Runtime or OpenVINO, to recognize entities without PyTorch: see `Recognizer`."""
    examples = list(read_examples(calibrate)) if calibrate else None

    try:
        # It takes seconds to import.
        from ..export.exporting import export_model

        comparison = export_model(
            load_pipeline(model),
            output,
            format.value,
            dtype=dtype.value,
            quantize=quantize.value if quantize else None,
            examples=examples,
            max_f1_loss=max_f1_loss,
        )
    except ImportError as error:
        raise InputError(f"export needs {error.name}: pip install 'hf-globalpointer[{format.value}]'") from error
    except ValueError as error:
        raise InputError(str(error)) from error
    say(f"{comparison.summary()}\nExported model is in {output}.")
