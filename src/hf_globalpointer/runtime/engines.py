"""What runs the graph of an exported model: ONNX Runtime or OpenVINO."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .span_search import Factors


# Where Linux says what the processor can do.
CPU_INFO = Path("/proc/cpuinfo")


class ExportError(OSError):
    """An exported model that cannot be used as it is; the message says what to do."""


class Engine(ABC):
    """A graph that gives the factors of the scores; it takes as many threads as `OMP_NUM_THREADS` says, if it is set.

    Args:
        folder (`Path`): The folder of the exported model.
        dtype (`str`): The type that the graph is to be computed in, where the processor has it.
        streams (`int`): How many batches may run at once, each with its share of the threads.
    """

    # The file of the graph, and that of the weights.
    files: tuple[str, str]
    package: str

    def __init__(self, folder: Path, dtype: str, streams: int) -> None:
        if find_spec(self.package) is None:
            raise ExportError(f"{folder} needs {self.package}, which is not installed: pip install {self.package}")
        for name in self.files:
            path = folder / name
            if not path.is_file() or not path.stat().st_size:
                raise ExportError(f"{folder} has no complete {name}; copy or download all of it, or export it anew.")

    @abstractmethod
    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> Factors:
        """The factors for a batch, in float32; from any thread."""


class OnnxEngine(Engine):
    """A graph in ONNX Runtime, in the type of its weights."""

    files = ("model.onnx", "model.onnx.data")
    package = "onnxruntime"

    def __init__(self, folder: Path, dtype: str, streams: int) -> None:
        super().__init__(folder, dtype, streams)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # What it says of nodes that it leaves to the CPU is of no use here.
        options.log_severity_level = 3
        if streams > 1 or "OMP_NUM_THREADS" in os.environ:
            options.intra_op_num_threads = max(1, _num_threads() // streams)
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=onnxruntime.get_available_providers()
            )
        # Its errors have no common class of their own.
        except Exception as error:
            raise ExportError(_broken(folder, "ONNX Runtime", onnxruntime.__version__, error)) from error
        self._inputs = [each.name for each in self._session.get_inputs()]

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> Factors:
        """As in [`Engine`]."""
        return Factors(*self._session.run(None, {name: inputs[name] for name in self._inputs}))


class OpenVinoEngine(Engine):
    """A graph in OpenVINO, on the CPU."""

    files = ("model.xml", "model.bin")
    package = "openvino"

    def __init__(self, folder: Path, dtype: str, streams: int) -> None:
        super().__init__(folder, dtype, streams)
        import openvino

        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT" if streams > 1 else "LATENCY",
            "NUM_STREAMS": streams,
        }
        if "OMP_NUM_THREADS" in os.environ:
            options["INFERENCE_NUM_THREADS"] = _num_threads()
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # Left alone, it would take bfloat16 where it can, whatever was asked for.
        options["INFERENCE_PRECISION_HINT"] = "bf16" if dtype == "bfloat16" and "BF16" in capabilities else "f32"
        try:
            model = core.compile_model(folder / "model.xml", "CPU", options)
        except RuntimeError as error:
            raise ExportError(_broken(folder, "OpenVINO", openvino.__version__, error)) from error
        self._inputs = [each.get_any_name() for each in model.inputs]
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._requests.put(model.create_infer_request())

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> Factors:
        """As in [`Engine`]."""
        # One request computes one batch at a time.
        request = self._requests.get()
        try:
            outputs = request.infer({name: inputs[name] for name in self._inputs})
            return Factors(*(np.array(each, dtype=np.float32) for each in outputs.values()))
        finally:
            self._requests.put(request)


ENGINES: dict[str, type[Engine]] = {"onnx": OnnxEngine, "openvino": OpenVinoEngine}


def lacks_vnni() -> bool:
    """Whether this is an x86 processor that adds products of 8 bits in 16, as far as the system tells."""
    flags = re.search("^flags.*", CPU_INFO.read_text(), re.MULTILINE) if CPU_INFO.is_file() else None
    return flags is not None and "vnni" not in flags[0]


def _num_threads() -> int:
    """The threads of all streams together."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def _broken(folder: Path, name: str, version: str, error: Exception) -> str:
    """Why a graph could not be loaded, in one line."""
    reason = " ".join(str(error).split())
    return (
        f"{name} {version} cannot load the model in {folder}; its files are damaged or made for a later version: copy "
        f"them again, install a later {name}, or export the model anew. It says: {reason[:300]}"
    )
