"""The pipeline task `global-pointer-ner`."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers.pipelines.base import ChunkPipeline

from .modeling_global_pointer import GenericForGlobalPointer
from .span_decoding import CharSpan, PredictedEntity, entities_of, merge_spans
from .token_windows import max_tokens, token_windows


class GlobalPointerNerPipeline(ChunkPipeline):
    """Named-entity recognition with a GlobalPointer model, nested entities included.

    Takes a text or a list of texts of any length (long ones are cut into overlapping windows) and returns for each a
    list of `{"entity_group", "score", "word", "start", "end"}`, ordered by start, then the longer first, then label.
    `start` and `end` are characters of the text, `word == text[start:end]`, and `score` is the sigmoid of the span's
    score less `config.score_threshold`.

    Args:
        threshold (`float` or `dict[str, float]`, *optional*):
            Probability above which a span is an entity, for all labels or label by label; for labels not given, the
            one in the model's configuration, or else 0.5.
        stride (`int`, *optional*, defaults to a quarter of the longest input):
            The tokens that neighbouring windows of a long text share: the length up to which no entity is cut.

    Example:
        ```python
        >>> recognise = pipeline("global-pointer-ner", model="path/to/checkpoint")
        >>> recognise(["The University of Leeds moved.", "So did we."], batch_size=8, threshold={"place": 0.7})
        ```
    """

    _load_tokenizer = True
    _load_image_processor = False
    _load_feature_extractor = False
    _load_processor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.model, GenericForGlobalPointer):
            raise ValueError(
                f"The task global-pointer-ner needs a GlobalPointer model, got {type(self.model).__name__}; fine-tune "
                "one, or use the task token-classification."
            )
        self._max_length = max_tokens(self.tokenizer, self.model.config)

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Recognise the entities of a text, or of each text of a list, dataset or generator."""
        if isinstance(inputs, tuple):
            inputs = list(inputs)
        return super().__call__(inputs, **kwargs) if inputs != [] else []

    def _sanitize_parameters(
        self, threshold: float | dict[str, float] | None = None, stride: int | None = None
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = {} if stride is None else {"stride": stride}
        forward = {} if threshold is None else {"threshold": threshold}
        return preprocess, forward, {}

    def preprocess(self, text: str, stride: int | None = None) -> Iterator[dict[str, Any]]:
        """Tokenise one text into windows, each a batch of one."""
        if not isinstance(text, str):
            raise TypeError(f"global-pointer-ner takes text (`str`), got {type(text).__name__}.")
        windows = token_windows(self.tokenizer, [text], self._max_length, stride)
        for number, window in enumerate(windows, start=1):
            inputs = {name: torch.tensor([values]) for name, values in window.inputs.items()}
            inputs["span_token_mask"] = torch.from_numpy(window.span_token_mask)[None]
            inputs["offsets"] = torch.from_numpy(window.offsets)[None]
            yield {**inputs, "text": text, "is_last": number == len(windows)}

    def _forward(
        self, model_inputs: dict[str, Any], threshold: float | dict[str, float] | None = None
    ) -> dict[str, Any]:
        """Score, decode and turn tokens into characters on the model's device; only the entities leave it."""
        passed_on = {name: model_inputs.pop(name) for name in ("text", "is_last")}
        offsets: Tensor = model_inputs.pop("offsets")
        found = self.model.decode(self.model.span_scores(**model_inputs), threshold)
        types, first, last = found.spans.unbind(-1)
        start = offsets[..., 0].gather(1, first.clamp(min=0))
        end = offsets[..., 1].gather(1, last.clamp(min=0))
        probability = (found.scores.double() - self.model.config.score_threshold).sigmoid()
        return {"types": types, "start": start, "end": end, "score": probability, **passed_on}

    def postprocess(self, model_outputs: list[dict[str, Any]]) -> list[PredictedEntity]:
        """Merge the windows of one text."""
        id2label = self.model.config.id2label
        spans = []
        for window in model_outputs:
            columns = (window[name][0].tolist() for name in ("start", "end", "types", "score"))
            rows = zip(*columns, strict=True)
            spans += [CharSpan(start, end, id2label[kind], score) for start, end, kind, score in rows if kind >= 0]
        return entities_of(model_outputs[0]["text"], merge_spans(spans))
