"""The pipeline task `global-pointer-ner`."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Pipeline

from .text_recognizer import Options, TextRecognizer


class GlobalPointerNerPipeline(TextRecognizer, Pipeline):
    """Named-entity recognition with a GlobalPointer model, nested entities included.

    Takes a text, a list of texts, or any iterable of texts (a generator, a data set with a column `text`), and texts
    of any length: long ones are cut into overlapping windows. The result for a text is a list of
    `{"entity_group", "score", "word", "start", "end"}`, ordered by start, then the longer first, then label. `start`
    and `end` are characters of the text, `word == text[start:end]`, and `score` is the probability of the span, see
    `config.calibration`, in the window in whose middle the span lies. The result for a list is a list; that for
    another iterable comes lazily, in order.

    With a `batch_size` above 1, texts are sorted by length, so that a batch has little padding: those of a list within
    256 batches, those of a lazy iterable within the 64 batches that are read ahead of it, or fewer where texts have
    more than 256 characters on average. On a CPU, a batch ends early where more would be lost to padding.

    Args:
        batch_size (`int`, *optional*, defaults to 1): Windows in a batch, at most.
        threshold (`float` or `dict[str, float]`, *optional*):
            Probability above which a span is an entity, for all labels or label by label; for labels not given, the
            one in the model's configuration, or else 0.5.
        overlap (`str`, *optional*, defaults to `config.overlap`):
            Which entities may go together: `"all"`; `"nested"`, those that lie apart or one within the other;
            `"flat"`, those that lie apart. The higher score wins, before calibration; see [`select_spans`].
        top_k (`int`, *optional*):
            Keep no more than this many entities of a text, those that score highest, before calibration.
        max_spans (`int`, *optional*, defaults to `config.max_spans`):
            Keep no more than this many spans of a window, before anything else is chosen.
        max_length (`int`, *optional*, defaults to `config.max_length`, or else what the encoder takes):
            The tokens of a window, special ones included.
        stride (`int`, *optional*, defaults to a quarter of a window, or `config.max_span_length` if that is more):
            The tokens that neighboring windows of a long text share at least: the length up to which no entity is
            cut.
        on_long (`str`, *optional*, defaults to `"window"`): `"error"` to refuse texts that need more than one window.
        word_aligned (`bool`, *optional*, defaults to `config.word_aligned`):
            Whether entities begin and end where words do; see [`word_boundaries`].
        is_split_into_words (`bool`, *optional*, defaults to `False`):
            Whether each input is a list of words instead of a text. `start` and `end` are then characters of the words
            joined by `delimiter`, and `word_aligned` goes by these words.
        delimiter (`str`, *optional*, defaults to `" "`): What to join words by.

    Raises:
        TypeError: If an input is no text, or no list of words.
        ValueError: If an option has a value it cannot have, a text is too long for `on_long="error"`, or weights of
            the model's span head were missing in its checkpoint.
        FloatingPointError: If the model's scores are no finite numbers.

    Example:
        ```python
        recognize = pipeline("global-pointer-ner", model="my-ner")
        recognize(["The University of Leeds moved.", "So did we."], batch_size=8, threshold={"place": 0.7})
        ```
    """

    _load_tokenizer = True
    _load_image_processor = False
    _load_feature_extractor = False
    _load_processor = False

    def __init__(self, model: Any, *args: Any, **kwargs: Any) -> None:
        # By name: the class may be one of PEFT around the model, or that of code saved with the checkpoint.
        if not model.config.model_type.endswith("global-pointer"):
            raise ValueError(
                f"The task global-pointer-ner needs a GlobalPointer model, got {type(model).__name__}; fine-tune "
                "one, or use the task token-classification."
            )
        if model.missing_head_weights:
            raise ValueError(
                f"The checkpoint of this model lacks weights of its span head ({', '.join(model.missing_head_weights)}"
                "), so that it would find entities at random; take a complete checkpoint, or train it again."
            )
        super().__init__(model, *args, **kwargs)
        # Here, as what is wrong with the tokenizer must come out before the first text.
        self.window_size()

    @property
    def settings(self) -> Any:
        """The model's configuration."""
        return self.model.config

    @property
    def max_positions(self) -> int | None:
        """The most tokens that the encoder has positions for, or `None` if nothing limits them."""
        limit: int | None = self.model.max_positions()
        return limit

    @property
    def pads_cheaply(self) -> bool:
        """Whether padding costs little, as on an accelerator."""
        device: torch.device = self.device
        return device.type != "cpu"

    def __call__(
        self, inputs: Any, batch_size: int | None = None, num_workers: int | None = None, **options: Any
    ) -> Any:
        """Recognize the entities of a text, or of each of many; arguments as those of the class.

        `num_workers`, which pipelines take, has no effect.
        """
        # Of a model that is being trained, too.
        self.model.eval()
        given, _, _ = self._sanitize_parameters(**options)
        size = next(given for given in (batch_size, self._batch_size, 1) if given is not None)
        return self.recognize(inputs, size, Options(**{**self._preprocess_params, **given}))

    def save_pretrained(self, save_directory: str | os.PathLike[str], with_code: bool = False, **kwargs: Any) -> None:
        """Save model and tokenizer.

        Args:
            save_directory (`str` or `os.PathLike`): The folder.
            with_code (`bool`, *optional*, defaults to `False`): Whether to write code too, as the model's method does.
            kwargs: Passed on to both, such as `push_to_hub`.
        """
        code = {"with_code": True} if with_code else {}
        self.model.save_pretrained(save_directory, **code, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Check options, at the call and not at the first text; those that are given, in the first dictionary."""
        checked = Options.of_call(options)
        self.model.label_thresholds(checked.threshold)
        self.window_size(checked)
        return {name: value for name, value in options.items() if value is not None}, {}, {}

    def predict_spans(
        self, inputs: Mapping[str, NDArray[np.int64]], options: Options
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """As in [`TextRecognizer`], on the model's device."""
        tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
        found = self.forward(tensors, threshold=options.threshold, max_spans=options.max_spans)
        return found["spans"].numpy(), found["scores"].double().numpy()

    def preprocess(self, inputs: Any, **options: Any) -> Any:
        """Not called: windows of many texts are made and sorted together."""
        raise NotImplementedError

    def postprocess(self, model_outputs: Any, **options: Any) -> Any:
        """Not called: windows of many texts are merged together."""
        raise NotImplementedError

    def _forward(
        self,
        model_inputs: dict[str, Tensor],
        threshold: float | dict[str, float] | None = None,
        max_spans: int | None = None,
    ) -> dict[str, Tensor]:
        """Score and decode on the model's device; only the spans leave it."""
        found = self.model.decode(self.model.span_scores(**model_inputs), threshold, max_spans)
        return {"spans": found.spans, "scores": found.scores}
