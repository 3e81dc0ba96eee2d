"""A checkpoint becomes a folder for a runtime without PyTorch, which is compared with it before it is given out."""

import json
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from ..atomic_files import atomic_path
from ..data import Example, read_examples
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from ..modeling.text_recognizer import Document
from ..modeling.token_windows import pad_windows
from ..runtime.engines import ExportError
from ..runtime.recognizer import Recognizer
from ..runtime.settings import RULES, SETTINGS_NAME, ExportSettings
from .comparison import Comparison, compare
from .factor_graph import export_graph
from .quantization import Batch, convert_to_openvino, quantize_onnx


Format = Literal["onnx", "openvino"]
Dtype = Literal["float32", "bfloat16"]
# More texts than these make quantization slower and no better.
_CALIBRATION_TEXTS = 300
_TOKENIZER_NAME = "tokenizer.json"
_SAMPLES = files("hf_globalpointer.data") / "samples" / "dev.jsonl"


def export_model(
    pipe: GlobalPointerNerPipeline,
    output: str | os.PathLike[str],
    format: Format = "onnx",
    *,
    dtype: Dtype = "float32",
    quantize: Literal["int8"] | None = None,
    examples: Sequence[Example] | None = None,
    max_f1_loss: float = 0.5,
    batch_size: int = 32,
) -> Comparison:
    """Export a model for [`Recognizer`], and compare the two before the folder gets its name.

    The folder holds the graph, from the encoder's inputs to the factors of the scores; `tokenizer.json`; `export.json`
    with the labels, the rules and what the comparison found; and configuration and tokenizer for [`load_exported`].

    Args:
        pipe (`GlobalPointerNerPipeline`): The pipeline of the checkpoint, made without options of its own.
        output (`str` or `os.PathLike`): Folder for the exported model; must not exist, or be empty.
        format (`str`): `"onnx"` or `"openvino"`.
        dtype (`str`): `"bfloat16"` to compute in it where the processor has it; for `"openvino"` only.
        quantize (`str`, *optional*):
            `"int8"` for the encoder in 8 bits; the span head stays in float32. For `"openvino"`, the processor should
            have VNNI.
        examples (`Sequence[Example]`, *optional*):
            Texts to compare the models on, with entities where F1 is to be compared too; with `quantize` for
            `"openvino"`, the first 300 also say how to round. By default the sample sentences of the package.
        max_f1_loss (`float`): By how many points of F1 the exported model may be worse.
        batch_size (`int`): Windows in a batch of the comparison.

    Returns:
        `Comparison`: What is also in `export.json`.

    Raises:
        ValueError: If the options do not go together.
        ExportError: If the model cannot be exported, or loses more F1 than it may.
        OSError: If the output cannot be written.

    Example:
        ```python
        export_model(pipeline("global-pointer-ner", model="my-ner"), "my-ner-onnx")
        Recognizer.from_pretrained("my-ner-onnx")("Alfred Nobel was born in Stockholm.")
        ```
    """
    _check_options(format, dtype, quantize, examples)
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder; choose another or remove it.")
    texts = list(read_examples(str(_SAMPLES)) if examples is None else examples)
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(output) as folder:
        # What an export that broke off has left.
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        settings = _settings(pipe, format, dtype, quantize)
        _write_tokenizer(pipe, folder)
        # For `load_exported`, as Transformers expects it.
        pipe.model.config.save_pretrained(folder)
        export_graph(pipe.model, settings.inputs, folder)
        if format == "openvino":
            convert_to_openvino(folder, _calibration(pipe, texts) if quantize else None)
        elif quantize:
            quantize_onnx(folder)
        _write_settings(folder, settings)
        comparison = compare(pipe, Recognizer(folder), texts, batch_size)
        if comparison.f1_loss > max_f1_loss:
            shutil.rmtree(folder)
            raise ExportError(
                f"the exported model loses {comparison.f1_loss:.2f} points of F1, more than {max_f1_loss:g}: "
                f"{comparison.summary()} {_remedy(format, dtype, quantize)}"
            )
        _write_settings(folder, settings, comparison)
    return comparison


def _check_options(format: str, dtype: str, quantize: str | None, examples: Sequence[Example] | None) -> None:
    for name, value, choices in (("format", format, get_args(Format)), ("dtype", dtype, get_args(Dtype))):
        if value not in choices:
            raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {value}.")
    if quantize not in (None, "int8"):
        raise ValueError(f"`quantize` must be int8 or not given, got {quantize}.")
    if dtype == "bfloat16" and format != "openvino":
        raise ValueError("ONNX Runtime does not compute in bfloat16 on a CPU; take the format openvino, or int8.")
    if quantize and format == "openvino" and not examples:
        raise ValueError("int8 for openvino needs examples to calibrate by: some hundred texts like those to come.")


def _settings(pipe: GlobalPointerNerPipeline, format: Format, dtype: Dtype, quantize: str | None) -> ExportSettings:
    config, tokenizer = pipe.model.config, pipe.tokenizer
    inputs = list(pipe.windows([Document("a", None)])[0].inputs)
    if not pipe.model.takes_token_types:
        inputs = [name for name in inputs if name != "token_type_ids"]
    return ExportSettings(
        format=format,
        dtype=dtype,
        quantized=quantize,
        **{name: getattr(config, name) for name in RULES},
        inputs=inputs,
        max_positions=pipe.max_positions,
        model_max_length=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        pad_token_type_id=tokenizer.pad_token_type_id,
    )


def _write_tokenizer(pipe: GlobalPointerNerPipeline, folder: Path) -> None:
    if not pipe.tokenizer.is_fast:
        raise ExportError(f"{type(pipe.tokenizer).__name__} is no fast tokenizer, and has no {_TOKENIZER_NAME}.")
    pipe.tokenizer.save_pretrained(folder)


def _calibration(pipe: GlobalPointerNerPipeline, examples: Sequence[Example]) -> list[Batch]:
    """The windows of the first texts, each by itself, so that no padding passes for something to provide for."""
    windows = pipe.windows([Document(example.text, None) for example in examples[:_CALIBRATION_TEXTS]])
    return [pad_windows([window], pipe.tokenizer) for window in windows]


def _write_settings(folder: Path, settings: ExportSettings, comparison: Comparison | None = None) -> None:
    content = {
        "settings": settings.to_dict(),
        "comparison": comparison.to_dict() if comparison else None,
        "versions": {name: version(name) for name in ("hf-globalpointer", "torch", "transformers", settings.package)},
    }
    (folder / SETTINGS_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _remedy(format: str, dtype: str, quantize: str | None) -> str:
    if quantize and format == "onnx":
        others = "Take the format openvino, which rounds by examples, or leave the model in float32"
    elif quantize:
        others = "Calibrate by more examples, or by texts more like those to come, or take bfloat16 in place of int8"
    else:
        others = "Take float32" if dtype == "bfloat16" else "Export it in PyTorch's own precision"
    return f"{others}; or raise `max_f1_loss` (--max-f1-loss) if the loss is acceptable."
