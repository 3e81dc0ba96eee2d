"""Features to batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..modeling.span_reductions import PADDING


@dataclass
class DataCollatorForGlobalPointer:
    """Pad features into a batch with `labels` `(B, M, 3)`, padded with -100, and `span_token_mask` `(B, n)`.

    Each feature holds what the tokenizer returned and, for training, `labels`: a list of (type, first token, last
    token), possibly empty. Without a `span_token_mask` of its own, every token of a feature but the special ones may
    bound a span.

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
            batch["labels"] = _pad_labels(features)
        return dict(batch)

    def _pad_masks(self, features: list[dict[str, Any]], length: int) -> Tensor:
        masks = torch.zeros(len(features), length, dtype=torch.long)
        for row, feature in zip(masks, features, strict=True):
            mask = feature.get("span_token_mask")
            if mask is None:
                # An unknown token is a "special" one to the tokenizer, and may well be part of a name.
                special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
                mask = [token not in special for token in _integers(feature["input_ids"]).tolist()]
            part = slice(length - len(mask), None) if self.tokenizer.padding_side == "left" else slice(len(mask))
            row[part] = _integers(mask)
        return masks


def _integers(values: Any) -> Tensor:
    """A list, or what a data set formatted for torch or NumPy holds in its place."""
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=np.int64))


def _pad_labels(features: list[dict[str, Any]]) -> Tensor:
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
                f"`labels` of feature {index} must be (type, first token, last token) triples, got {rows}."
            )
        if len(rows):
            labels[index, : len(rows)] = _integers(rows)
    return labels
