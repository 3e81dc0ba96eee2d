"""What a folder says of the exported model in it."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from ..modeling.span_decoding import Overlap
from .engines import ENGINES, ExportError


SETTINGS_NAME = "export.json"
# The settings that are also fields of the model's configuration.
RULES = (
    "id2label",
    "score_threshold",
    "thresholds",
    "calibration",
    "overlap",
    "max_spans",
    "max_span_length",
    "max_length",
    "word_aligned",
    "mark_capitals",
)


def exported_folder(name: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder of an exported model; one on the Hub is downloaded, which takes the package `huggingface_hub`.

    Args:
        name (`str` or `os.PathLike`): A folder, or the id of a Hub repository.
        revision (`str`, *optional*): Of the repository.

    Raises:
        ExportError: If it is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    if isinstance(name, os.PathLike) or name.count("/") != 1:
        raise ExportError(f"{name} is no folder, and no id of a Hub repository.")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, revision=revision))


@dataclass(frozen=True)
class ExportSettings:
    """What an exported model's `export.json` says: all that its graph and its tokenizer do not.

    Args:
        format (`str`): `"onnx"` or `"openvino"`.
        dtype (`str`): The type to compute in, `"float32"` or `"bfloat16"`, the latter where the processor has it.
        quantized (`str`, *optional*): `"int8"`, or nothing.
        id2label (`dict[int, str]`): Labels by id.
        score_threshold (`float`): As in the model's configuration, like the next eight.
        thresholds (`dict[str, float]`, *optional*): The probability of each label above which a span is predicted.
        calibration (`dict[str, list[float]]`, *optional*): Scale and shift that make scores of a label probabilities.
        overlap (`str`): Which entities may go together.
        max_spans (`int`): The most spans of a window.
        max_span_length (`int`, *optional*): The most tokens of a span.
        max_length (`int`, *optional*): The tokens of a window.
        word_aligned (`bool`): Whether entities begin and end where words do.
        mark_capitals (`bool`): Whether the graph is told of capitals by `token_type_ids`.
        inputs (`list[str]`): What the graph takes.
        max_positions (`int`, *optional*): The most tokens that the encoder has positions for.
        model_max_length (`int`): The most tokens that the tokenizer allows.
        pad_token_id (`int`, *optional*): Of the tokenizer.
        pad_token_type_id (`int`): Of the tokenizer.
    """

    format: str
    dtype: str
    quantized: str | None
    id2label: dict[int, str]
    score_threshold: float
    thresholds: dict[str, float] | None
    calibration: dict[str, list[float]] | None
    overlap: Overlap
    max_spans: int
    max_span_length: int | None
    max_length: int | None
    word_aligned: bool
    mark_capitals: bool
    inputs: list[str]
    max_positions: int | None
    model_max_length: int
    pad_token_id: int | None
    pad_token_type_id: int

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the settings of a folder.

        Raises:
            ExportError: If they are not there, or not complete.
        """
        path = folder / SETTINGS_NAME
        if not path.is_file():
            raise ExportError(
                f"{folder} is no exported model: it has no {SETTINGS_NAME}. Make one of a checkpoint with "
                "`hf-globalpointer export`."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            # What was exported before there were these has none.
            given = {"calibration": None, "mark_capitals": False} | content["settings"]
            values = {field.name: given[field.name] for field in fields(cls)}
            id2label = {int(index): label for index, label in values["id2label"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExportError(f"{path} is damaged ({error!r}); copy it again, or export the model anew.") from error
        if values["format"] not in ENGINES:
            raise ExportError(
                f"{path}: format {values['format']!r} is none of {', '.join(ENGINES)}; update this package."
            )
        return cls(**{**values, "id2label": id2label})

    @property
    def package(self) -> str:
        """The package that runs the graph."""
        return ENGINES[self.format].package

    def to_dict(self) -> dict[str, Any]:
        """The settings in the types of JSON."""
        return {**asdict(self), "id2label": {str(index): label for index, label in self.id2label.items()}}
