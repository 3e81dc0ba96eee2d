"""Features to batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..modeling.span_blocks import PADDING


@dataclass
class DataCollatorForGlobalPointer:
    """Pad features into a batch with `labels` `(B, M, 3)`, padded with -100, and `span_token_mask`.

    Each feature holds what the tokenizer returned and, for training, `labels`: a list of (label id, start token,
    end token), both inclusive, possibly empty. Its `span_token_mask` may be a list, of the tokens that may bound
    a span, or two, of those that may start and of those that may end one; the batch has `(B, n)` or `(B, 2, n)`.
    Without a mask, every token but the special ones may bound a span.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): Pads the features.
        pad_to_multiple_of (`int`, *optional*): Pad to a length that is a multiple of this number.
    """

    tokenizer: PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate one batch.

        Raises:
            ValueError: If a label is not a triple, or only some of the features have labels.
        """
        own = ("labels", "span_token_mask")
        batch = self.tokenizer.pad(
            [{name: value for name, value in feature.items() if name not in own} for feature in features],
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="pt",
        )
        batch["span_token_mask"] = self._pad_masks(features, batch["input_ids"].shape[1])
        if any("labels" in feature for feature in features):
            length = batch["input_ids"].shape[1] if self.tokenizer.padding_side == "left" else None
            batch["labels"] = _pad_labels(features, length)
        return dict(batch)

    def _pad_masks(self, features: list[dict[str, Any]], length: int) -> Tensor:
        masks = [_integers(self._mask(feature)) for feature in features]
        both = max((2,) if mask.dim() == 2 else () for mask in masks)
        padded = torch.zeros(len(features), *both, length, dtype=torch.long)
        for row, mask in zip(padded, masks, strict=True):
            n = mask.shape[-1]
            tokens = slice(length - n, length) if self.tokenizer.padding_side == "left" else slice(n)
            row[..., tokens] = mask
        return padded

    def _mask(self, feature: dict[str, Any]) -> Any:
        mask = feature.get("span_token_mask")
        if mask is not None:
            return mask
        # An unknown token is a "special" one to the tokenizer, and may well be part of a name.
        special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        return [token not in special for token in _integers(feature["input_ids"]).tolist()]


def _integers(values: Any) -> Tensor:
    """A list, or what a data set formatted for torch or NumPy holds in its place."""
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=np.int64))


def _pad_labels(features: list[dict[str, Any]], length: int | None) -> Tensor:
    """Labels `(B, M, 3)`; with padding on the left, up to `length`, spans move along with their tokens."""
    # At least one row, so that batches without entities gather across processes like all others.
    most = max([1, *(len(feature.get("labels", ())) for feature in features)])
    labels = torch.full((len(features), most, 3), PADDING, dtype=torch.long)
    for index, feature in enumerate(features):
        if "labels" not in feature:
            raise ValueError(
                f"Feature {index} of the batch has no `labels` though others have; give it an empty list."
            )
        rows = feature["labels"]
        if any(len(row) != 3 for row in rows):
            raise ValueError(
                f"`labels` of feature {index} must be (label id, start token, end token) triples, got {rows}."
            )
        if len(rows):
            labels[index, : len(rows)] = _integers(rows)
            if length is not None:
                labels[index, : len(rows), 1:] += length - len(feature["input_ids"])
    return labels
