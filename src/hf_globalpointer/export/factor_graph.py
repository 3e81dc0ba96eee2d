"""The graph that is exported: an encoder's inputs to the factors of the scores, in ONNX."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import PreTrainedModel


# What the names of nodes of the span head begin with, so that quantization can leave them alone.
HEAD = "span_head."


class FactorModel(nn.Module):
    """A GlobalPointer model that returns query, key and, of the efficient head, start and end; see [`SpanScores`].

    They are a hundred times smaller than the scores of all spans, and take no operator that other runtimes lack.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Score a batch `(B, n)`."""
        scores = self.model.span_scores(**inputs)
        factors = {"query": scores.query, "key": scores.key, "start": scores.start, "end": scores.end}
        return {name: factor for name, factor in factors.items() if factor is not None}


def export_graph(model: PreTrainedModel, inputs: list[str], folder: Path) -> None:
    """Write `model.onnx` and `model.onnx.data`, with batch and length dynamic.

    Args:
        model (`PreTrainedModel`): A GlobalPointer model; it is exported in float32.
        inputs (`list[str]`): What the encoder takes, `input_ids` first.
        folder (`Path`): The folder.

    Raises:
        ModuleNotFoundError: If onnx_ir is not installed: `pip install 'hf-globalpointer[onnx]'`.
    """
    import onnx_ir
    from transformers.exporters import OnnxConfig, OnnxExporter

    model = copy.deepcopy(model).float().cpu()
    # Of sizes that no dimension of the model is likely to have, so that none is taken for a constant.
    values = {name: torch.ones((3, 11), dtype=torch.long) for name in inputs}
    values["input_ids"] = torch.randint(model.base_model.config.vocab_size, (3, 11))
    if "token_type_ids" in values:
        values["token_type_ids"] = torch.zeros((3, 11), dtype=torch.long)
    with torch.no_grad(), quiet():
        shapes = {name: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for name in inputs}
        exported = OnnxExporter().export(FactorModel(model).eval(), values, config=OnnxConfig(dynamic_shapes=shapes))
    program: Any = exported.program
    for node in program.graph:
        if "'model.classifier'" in node.metadata_props.get("pkg.torch.onnx.name_scopes", ""):
            node.name = f"{HEAD}{node.name}"
    onnx_ir.save(program, str(folder / "model.onnx"), external_data="model.onnx.data")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what exporters say of their steps, of versions and of operators that no model here has."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.disable(before)
