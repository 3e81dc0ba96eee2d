import copy
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from conftest import LABELS
from hf_globalpointer.data import DataCollatorForGlobalPointer, Entity, Example, encode_examples
from modeling import reference
from modeling.reference import reference_scores


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
    with pytest.raises(ValueError, match=r"^`labels` of feature 1 must be \(label id, start token, end token\)"):
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


def test_labels_move_with_the_tokens_when_padding_is_on_the_left(char_tokenizer: PreTrainedTokenizerFast) -> None:
    char_tokenizer.padding_side = "left"
    features = [feature(6, labels=[[0, 1, 2]]), feature(4, labels=[[1, 1, 2], [0, 2, 2]])]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["labels"].tolist() == [[[0, 1, 2], [-100] * 3], [[1, 3, 4], [0, 4, 4]]]


TWO_ROWS = [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("side", "short"), [("right", [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]), ("left", [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0]])]
)
def test_masks_of_two_rows_are_padded_like_those_of_one(
    char_tokenizer: PreTrainedTokenizerFast, side: str, short: list[list[int]]
) -> None:
    char_tokenizer.padding_side = side
    features = [feature(5, span_token_mask=TWO_ROWS), feature(4, span_token_mask=[[0, 1, 0, 0], [0, 0, 1, 0]])]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["span_token_mask"].dtype == torch.int64
    assert batch["span_token_mask"].tolist() == [TWO_ROWS, short]
    batch = DataCollatorForGlobalPointer(char_tokenizer, pad_to_multiple_of=8)(features)
    assert batch["span_token_mask"].shape == (2, 2, 8)
    assert batch["span_token_mask"].sum(-1).tolist() == [[2, 2], [1, 1]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_masks_of_one_row_two_rows_and_none_go_together(char_tokenizer: PreTrainedTokenizerFast, side: str) -> None:
    char_tokenizer.padding_side = side
    features = [feature(4, span_token_mask=[0, 1, 0, 0]), feature(5, span_token_mask=TWO_ROWS), feature(3)]
    one, none = ([0, 1, 0, 0, 0], [0, 1, 0, 0, 0]) if side == "right" else ([0, 0, 1, 0, 0], [0, 0, 0, 1, 0])
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        batch = DataCollatorForGlobalPointer(char_tokenizer)([features[index] for index in order])
        expected = [[one, one], TWO_ROWS, [none, none]]
        assert batch["span_token_mask"].tolist() == [expected[index] for index in order]


@pytest.mark.parametrize("form", [np.array, torch.tensor, tuple])
def test_masks_of_two_rows_come_as_data_sets_give_them(char_tokenizer: PreTrainedTokenizerFast, form: Any) -> None:
    features = [feature(5, span_token_mask=form(TWO_ROWS), labels=form([[0, 1, 2]])), feature(3, labels=[])]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    assert batch["span_token_mask"].tolist() == [TWO_ROWS, [[0, 1, 0, 0, 0]] * 2]
    assert batch["labels"].tolist() == [[[0, 1, 2]], [[-100] * 3]]


TRAINING = [
    Example("ab cd, efg", (Entity(0, 2, "place"), Entity(0, 5, "person"), Entity(7, 10, "date"))),
    Example("hi", (Entity(0, 1, "place"), Entity(0, 2, "place"))),
    Example(" "),
    Example("a b c d", (Entity(0, 7, "date"), Entity(2, 3, "date"))),
]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_loss_with_masks_of_two_rows_is_that_of_the_dense_scores(
    tiny_model: torch.nn.Module, char_tokenizer: PreTrainedTokenizerFast, side: str, mixed: bool
) -> None:
    char_tokenizer.padding_side = side
    ids = tiny_model.config.label2id
    features, report = encode_examples(TRAINING, char_tokenizer, ids, 16, word_aligned=True)
    assert [item.entity for item in report.unaligned] == [Entity(0, 1, "place")]
    if mixed:
        whole, _ = encode_examples(TRAINING, char_tokenizer, ids, 16)
        features[1::2] = whole[1::2]
    batch = DataCollatorForGlobalPointer(char_tokenizer)(features)
    with torch.no_grad():
        loss = tiny_model(**batch).loss.item()
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        hidden = tiny_model.bert(**inputs).last_hidden_state
    scores = reference_scores(tiny_model.classifier, hidden, torch.ones(hidden.shape[:2]))
    expected = []
    for sample, mask, attention, rows in zip(
        scores, batch["span_token_mask"], batch["attention_mask"], batch["labels"], strict=True
    ):
        may_begin, may_end = (mask & attention).bool().numpy()
        sample[:, ~(may_begin[:, None] & may_end)] = -np.inf
        gold = {tuple(row) for row in rows.tolist() if row[0] >= 0}
        assert all(np.isfinite(sample[row]) for row in gold)
        expected.append(reference.class_imbalance_loss(sample, gold))
    assert len(scores[0]) == len(LABELS)
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)
