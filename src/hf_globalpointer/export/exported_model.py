"""An exported model as a model of Transformers, which its pipeline and its Trainer can evaluate."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from ..modeling.modeling_global_pointer import GenericForGlobalPointer
from ..modeling.span_heads import span_mask
from ..modeling.span_scores import SpanScores
from ..registration import register
from ..runtime.engines import ENGINES
from ..runtime.settings import RULES, ExportSettings, exported_folder


class ExportedForGlobalPointer(GenericForGlobalPointer):
    """A GlobalPointer model whose network is a graph in ONNX Runtime or OpenVINO; it runs on the CPU.

    It has no parameters, and so it predicts and evaluates, but is not trained. Made by [`load_exported`].

    Args:
        config (`PreTrainedConfig`): The configuration of the original, with the rules of `settings`.
        folder (`Path`): The folder of the exported model.
        settings (`ExportSettings`): What the folder says of it.

    Raises:
        ExportError: If the files of the graph are damaged, or its runtime is not installed.
    """

    def __init__(self, config: PreTrainedConfig, folder: Path, settings: ExportSettings) -> None:
        PreTrainedModel.__init__(self, config)
        self.eval()
        self._folder, self._settings = folder, settings
        self._engine = ENGINES[settings.format](folder, settings.dtype, streams=1)

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """That of the factors."""
        return torch.float32

    def max_positions(self) -> int | None:
        """The most tokens of an input that the encoder has positions for, or `None` if nothing limits them."""
        return self._settings.max_positions

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Raise a `ValueError`: the graph is compiled already."""
        raise ValueError("An exported model is a compiled graph already; compile the original.")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As [`load_exported`]."""
        return load_exported(pretrained_model_name_or_path, *args, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], with_code: bool = False, **kwargs: Any) -> None:
        """Copy the folder of the exported model.

        Raises:
            ValueError: If anything else is asked for.
        """
        if with_code or kwargs:
            raise ValueError(f"An exported model is saved as it is: copy or upload {self._folder}.")
        shutil.copytree(self._folder, save_directory, dirs_exist_ok=True)

    def _encode(
        self, attention_mask: Tensor | None = None, span_token_mask: Tensor | None = None, **kwargs: Any
    ) -> tuple[SpanScores, ModelOutput]:
        given = {name: value for name, value in kwargs.items() if value is not None}
        if "input_ids" not in given or not given.keys() <= {"input_ids", "token_type_ids"}:
            raise ValueError(
                "An exported model takes `input_ids`, `attention_mask`, `token_type_ids` and `span_token_mask`, got "
                f"{', '.join(given) or 'none of them'}."
            )
        ids = given["input_ids"]
        inputs = {
            "attention_mask": torch.ones_like(ids) if attention_mask is None else attention_mask,
            "token_type_ids": torch.zeros_like(ids),
            **given,
        }
        arrays = {name: value.cpu().numpy().astype(np.int64) for name, value in inputs.items()}
        factors = [None if each is None else torch.from_numpy(each) for each in self._engine.run(arrays)]
        query, key, start, end = factors
        assert query is not None
        assert key is not None
        mask = span_mask(query, attention_mask, span_token_mask)
        return SpanScores(query, key, start, end, mask, self.config.max_span_length), ModelOutput()


def load_exported(name: str | os.PathLike[str], revision: str | None = None) -> ExportedForGlobalPointer:
    """Load an exported model as a model of Transformers, with labels, thresholds and rules of its `export.json`.

    Args:
        name (`str` or `os.PathLike`): The folder of the exported model, or the id of its Hub repository.
        revision (`str`, *optional*): Of the repository.

    Raises:
        ExportError: If it is none, its files are damaged, or its runtime is not installed.

    Example:
        ```python
        recognize = pipeline("global-pointer-ner", model=load_exported("my-ner-onnx"), tokenizer="my-ner-onnx")
        ```
    """
    register()
    folder = exported_folder(name, revision)
    settings = ExportSettings.read(folder)
    config = AutoConfig.from_pretrained(folder, **{rule: getattr(settings, rule) for rule in RULES})
    return ExportedForGlobalPointer(config, folder, settings)
