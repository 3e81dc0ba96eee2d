"""Entities by an exported model, without torch and Transformers."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..modeling.span_decoding import is_count, label_thresholds
from ..modeling.span_probabilities import score_limits
from ..modeling.text_recognizer import Options, TextRecognizer
from .engines import ENGINES, ExportError, lacks_vnni
from .file_tokenizer import FileTokenizer
from .settings import ExportSettings, exported_folder
from .span_search import spans_above


class Recognizer(TextRecognizer):
    """Named-entity recognition with an exported model; needs NumPy, `tokenizers` and the runtime of its format.

    It takes what [`GlobalPointerNerPipeline`] takes, has its options, and gives the same.

    Args:
        folder (`str` or `os.PathLike`): The folder of the exported model.
        streams (`int`, *optional*, defaults to 1):
            How many batches are computed at once, each with its share of the threads. As many as there are processors
            gives about a tenth more texts a second, where there are many texts; one text takes longer then.

    Raises:
        ExportError: If the folder holds no exported model, it is damaged, or its runtime is not installed.
        ValueError: If `streams` is no whole number of at least 1.

    Example:
        ```python
        recognize = Recognizer.from_pretrained("my-ner-onnx")
        recognize(["Alfred Nobel was born in Stockholm."], batch_size=32)
        ```
    """

    def __init__(self, folder: str | os.PathLike[str], streams: int = 1) -> None:
        if not is_count(streams, at_least=1):
            raise ValueError(f"`streams` must be a whole number of at least 1, got {streams!r}.")
        folder = Path(folder)
        self._settings = ExportSettings.read(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ExportError(f"{folder} has no tokenizer.json; copy or download all of it, or export it anew.")
        own = self._settings
        self.tokenizer = FileTokenizer(path, own.inputs, own.model_max_length, own.pad_token_id, own.pad_token_type_id)
        self._engine = ENGINES[own.format](folder, own.dtype, streams)
        self._streams = streams
        if own.format == "openvino" and own.quantized and lacks_vnni():
            warnings.warn(
                f"The model in {folder} is rounded for processors with VNNI, which this one lacks: sums may overflow, "
                "and nothing is gained. Export it in float32, or in int8 for onnx.",
                stacklevel=2,
            )

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], revision: str | None = None, streams: int = 1) -> Self:
        """Load an exported model from a folder, or from the Hub, which takes the package `huggingface_hub`.

        Args:
            name (`str` or `os.PathLike`): A folder, or the id of a Hub repository.
            revision (`str`, *optional*): Of the repository.
            streams (`int`, *optional*, defaults to 1): As of the class.
        """
        return cls(exported_folder(name, revision), streams)

    @property
    def settings(self) -> ExportSettings:
        """What `export.json` says."""
        return self._settings

    @property
    def max_positions(self) -> int | None:
        """The most tokens that the encoder has positions for, or `None` if nothing limits them."""
        return self._settings.max_positions

    @property
    def pads_cheaply(self) -> bool:
        """False, since it runs on a CPU."""
        return False

    def __call__(self, inputs: Any, batch_size: int = 1, **options: Any) -> Any:
        """Recognize the entities of a text, or of each of many; options as those of [`GlobalPointerNerPipeline`]."""
        checked = Options.of_call(options)
        label_thresholds(self.settings, checked.threshold)
        self.window_size(checked)
        return self.recognize(inputs, batch_size, checked)

    def map_batches(self, compute: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
        """As in [`TextRecognizer`], as many at once as there are streams."""
        if self._streams == 1:
            return super().map_batches(compute, batches)
        return _map_in_threads(compute, batches, self._streams)

    def predict_spans(
        self, inputs: Mapping[str, NDArray[np.int64]], options: Options
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As in [`TextRecognizer`]."""
        own = self._settings
        limits = np.array(score_limits(own, options.threshold))
        mask = inputs["span_token_mask"].astype(bool)
        mask = np.stack([mask, mask], axis=1) if mask.ndim == 2 else mask
        max_spans = own.max_spans if options.max_spans is None else options.max_spans
        factors = self._engine.run(inputs)
        spans, scores, num_cut = spans_above(factors, mask, limits.astype(np.float32), max_spans, own.max_span_length)
        if num_cut:
            warnings.warn(
                f"More than {max_spans} spans of one input score over the threshold, and the lowest are left out; is "
                "the text unlike those of training? Read it in shorter windows (`max_length`).",
                stacklevel=2,
            )
        return spans, scores.astype(np.float64)


def _map_in_threads(compute: Callable[[Any], Any], batches: Iterable[Any], threads: int) -> Iterator[Any]:
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(compute, batches)
