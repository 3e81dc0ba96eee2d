"""Graphs in OpenVINO's form and in int8; the span head always stays in float32."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .factor_graph import HEAD, quiet


Batch = Mapping[str, NDArray[np.int64]]


def quantize_onnx(folder: Path) -> None:
    """Make the encoder's matrices int8, and its activations as they come (dynamic quantization of ONNX Runtime)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / "model.onnx"
    graph = onnx.load(path, load_external_data=False).graph
    head = [node.name for node in graph.node if node.name.startswith(HEAD)]
    quantized = folder / "quantized.onnx"
    with quiet():
        quantize_dynamic(
            path,
            quantized,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # Processors without VNNI add products in 16 bits, which overflow with weights of 8.
            reduce_range=True,
            nodes_to_exclude=head,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    # In two files again, whatever the size.
    model = onnx.load(quantized)
    for old in (quantized, path, folder / "model.onnx.data"):
        old.unlink()
    onnx.save(model, path, save_as_external_data=True, location="model.onnx.data")


def convert_to_openvino(folder: Path, calibration: Sequence[Batch] | None) -> None:
    """Put `model.xml` and `model.bin` in the place of the graph in ONNX, in int8 if there are batches to calibrate by.

    Args:
        folder (`Path`): The folder with `model.onnx`.
        calibration (`Sequence[Batch]`, *optional*): What the encoder is to take, in batches.
    """
    import openvino

    model: Any = openvino.convert_model(folder / "model.onnx")
    if calibration is not None:
        import nncf
        from nncf.quantization.advanced_parameters import OverflowFix

        # Else it names every operation that it leaves alone.
        nncf.set_log_level(logging.WARNING)
        names = [each.get_any_name() for each in model.inputs]
        data = nncf.Dataset([{name: batch[name] for name in names} for batch in calibration])
        scope = nncf.IgnoredScope(names=_products(model), patterns=[f"{re.escape(HEAD)}.*"])
        model = nncf.quantize(
            model,
            data,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
            ignored_scope=scope,
            # Without VNNI, where weights of 8 bits may overflow, OpenVINO's int8 is no faster than float32 anyway.
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.DISABLE),
        )
    # In half the space it would not be float32.
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    del model
    for name in ("model.onnx", "model.onnx.data"):
        (folder / name).unlink()


def _products(model: Any) -> list[str]:
    """The matrix products of attention, whose rounding the softmax after them would turn into other weights."""
    products = [each for each in model.get_ops() if each.get_type_name() == "MatMul"]
    names = [each.get_friendly_name() for each in products if not _has_weights(each)]
    return [name for name in names if not name.startswith(HEAD)]


def _has_weights(product: Any) -> bool:
    """Whether one of the two factors does not depend on the input."""
    for value in product.input_values():
        node = value.get_node()
        while node.get_type_name() in ("Convert", "Transpose"):
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Constant":
            return True
    return False
