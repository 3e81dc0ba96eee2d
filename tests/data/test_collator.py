import copy
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from hf_globalpointer.data import DataCollatorForGlobalPointer, Entity, Example, encode_examples


def feature(num_tokens: int, **others: Any) -> dict[str, Any]:
    """Special tokens at both ends, letters between them."""
    ids = [2, *range(4, 2 + num_tokens), 3]
    return {"input_ids": ids, "attention_mask": [1] * num_tokens, **others}


def test_labels_are_padded_with_minus_100(char_tokenizer: PreTrainedTokenizerFast) -> None:
    features = [feature(5, labels=[[0, 1, 2], [1, 3, 3]]), feature(3, labels=[]), feature(4, labels=[[2, 1, 1]])]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == [
        [[0, 1, 2], [1, 3, 3]],
        [[-100] * 3, [-100] * 3],
        [[2, 1, 1], [-100] * 3],
    ]


@pytest.mark.parametrize(
    ("side", "ids", "mask"),
    [
        ("right", [[2, 4, 5, 6, 3], [2, 4, 3, 0, 0]], [[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]]),
        ("left", [[2, 4, 5, 6, 3], [0, 0, 2, 4, 3]], [[0, 1, 0, 1, 0], [0, 0, 0, 1, 0]]),
    ],
)
def test_mask_is_padded_with_zeros_on_the_side_of_the_inputs(
    char_tokenizer: PreTrainedTokenizerFast, side: str, ids: list[list[int]], mask: list[list[int]]
) -> None:
    char_tokenizer.padding_side = side
    features = [feature(5, span_token_mask=[0, 1, 0, 1, 0]), feature(3, span_token_mask=[0, 1, 0])]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["input_ids"].tolist() == ids
    assert batch["attention_mask"].tolist() == [[int(token != 0) for token in row] for row in ids]
    assert batch["span_token_mask"].tolist() == mask


@pytest.mark.parametrize("side", ["right", "left"])
def test_mask_is_derived_from_the_special_tokens(char_tokenizer: PreTrainedTokenizerFast, side: str) -> None:
    char_tokenizer.padding_side = side
    unknown = char_tokenizer.unk_token_id
    short = {"input_ids": [2, unknown, 3], "attention_mask": [1, 1, 1]}
    batch = DataCollatorForGlobalPointer(char_tokenizer)([short, feature(5)])
    padded = [0, 1, 0, 0, 0] if side == "right" else [0, 0, 0, 1, 0]
    assert batch["span_token_mask"].tolist() == [padded, [0, 1, 1, 1, 0]]


def test_own_mask_goes_before_the_derived_one(char_tokenizer: PreTrainedTokenizerFast) -> None:
    features = [feature(4, span_token_mask=[1, 0, 1, 0]), feature(4)]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["span_token_mask"].tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]


def test_batch_without_entities_has_one_row_of_padding(char_tokenizer: PreTrainedTokenizerFast) -> None:
    batch = DataCollatorForGlobalPointer(char_tokenizer)([feature(3, labels=[]), feature(4, labels=[])])
    assert batch["labels"].tolist() == [[[-100] * 3], [[-100] * 3]]


def test_batch_without_labels_has_no_such_key(char_tokenizer: PreTrainedTokenizerFast) -> None:
    batch = DataCollatorForGlobalPointer(char_tokenizer)([feature(3), feature(4)])
    assert batch.keys() == {"input_ids", "attention_mask", "span_token_mask"}


@pytest.mark.parametrize("without", [0, 1])
def test_labels_for_some_features_only(char_tokenizer: PreTrainedTokenizerFast, without: int) -> None:
    features = [feature(3, labels=[[0, 1, 1]]), feature(3, labels=[[0, 1, 1]])]
    del features[without]["labels"]
    with pytest.raises(ValueError, match=f"^Feature {without} of the batch has no `labels`"):
        DataCollatorForGlobalPointer(char_tokenizer)(features)


@pytest.mark.parametrize("row", [[1, 2], [0, 1, 1, 1], []])
def test_label_must_be_a_triple(char_tokenizer: PreTrainedTokenizerFast, row: list[int]) -> None:
    features = [feature(4, labels=[[0, 1, 1]]), feature(4, labels=[[0, 1, 1], row])]
    with pytest.raises(ValueError, match=r"^`labels` of feature 1 must be \(type, first token, last token\)"):
        DataCollatorForGlobalPointer(char_tokenizer)(features)


@pytest.mark.parametrize("side", ["right", "left"])
def test_pads_to_a_multiple(char_tokenizer: PreTrainedTokenizerFast, side: str) -> None:
    char_tokenizer.padding_side = side
    batch = DataCollatorForGlobalPointer(char_tokenizer, pad_to_multiple_of=8)([feature(5), feature(3)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == batch["span_token_mask"].shape == (2, 8)
    letters = (batch["input_ids"] >= 4).long()
    assert batch["span_token_mask"].tolist() == letters.tolist()
    assert letters.sum() == 4


def test_features_are_left_as_they_were(char_tokenizer: PreTrainedTokenizerFast) -> None:
    features = [feature(5, labels=[[0, 1, 2]], span_token_mask=[0, 1, 1, 1, 0]), feature(3, labels=[])]
    before = copy.deepcopy(features)
    first = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert features == before
    second = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_encoded_examples_collate(char_tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [Example("ab 9", (Entity(0, 2, "x"), Entity(3, 4, "y"))), Example("c"), Example("")]
    features, _ = encode_examples(examples, char_tokenizer, {"x": 0, "y": 1}, 10)
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["span_token_mask"].tolist() == [[0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert batch["labels"].tolist() == [[[0, 1, 2], [1, 3, 3]], [[-100] * 3] * 2, [[-100] * 3] * 2]


def test_collator_takes_lists_of_tuples(char_tokenizer: PreTrainedTokenizerFast) -> None:
    batch = DataCollatorForGlobalPointer(char_tokenizer)([feature(4, labels=[(0, 1, 2)])])
    assert batch["labels"].tolist() == [[[0, 1, 2]]]
