from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

from conftest import make_model
from hf_globalpointer import (
    BertEfficientGlobalPointerConfig,
    DataCollatorForGlobalPointer,
    Entity,
    EpochCallback,
    Example,
    ExampleDataset,
    encode_examples,
)
from hf_globalpointer.data.example_dataset import join_examples


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(index: int) -> str:
    return LETTERS[index] * 4


def sentences(number: int, ids: list[Any] | None = None) -> list[Example]:
    """Each of one word, which tells it from the others, with an entity and a stop."""
    return [
        Example(f"{word(index)} .", (Entity(0, 4, "person"),), id=None if ids is None else ids[index])
        for index in range(number)
    ]


def config(**fields: Any) -> BertEfficientGlobalPointerConfig:
    return BertEfficientGlobalPointerConfig(labels=["person"], **{"max_length": 32, **fields})


def words_of(feature: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The words of a feature, from the tokens that its labels name."""
    tokens = tokenizer.convert_ids_to_tokens(feature["input_ids"])
    assert all(last - first == 3 for _, first, last in feature["labels"])
    found = ["".join(tokens[first : last + 1]) for _, first, last in sorted(feature["labels"], key=lambda x: x[1])]
    assert all(word == word[0] * 4 for word in found)
    return found


def joined_of(data: ExampleDataset, number: int) -> list[dict[str, Any]]:
    return [data[index] for index in range(number, len(data))]


def test_without_joining_it_is_the_features(char_tokenizer: PreTrainedTokenizerFast) -> None:
    examples = sentences(5)
    data = ExampleDataset(examples, char_tokenizer, config())
    features, report = encode_examples(examples, char_tokenizer, {"person": 0}, 32)
    assert [data[index] for index in range(len(data))] == features
    assert data.report == report
    none = ExampleDataset(examples, char_tokenizer, config(max_length=None))
    assert len(none) == 5


def test_joined_texts_have_the_entities_of_their_examples(char_tokenizer: PreTrainedTokenizerFast) -> None:
    data = ExampleDataset(sentences(20), char_tokenizer, config(), joined=1.0)
    joined = joined_of(data, 20)
    assert joined
    # 30 tokens fit, 5 to an example.
    assert all(2 <= len(feature["labels"]) <= 6 for feature in joined)
    assert all(len(feature["input_ids"]) == 5 * len(feature["labels"]) + 2 for feature in joined)
    assert {len(words_of(feature, char_tokenizer)) for feature in joined} > {2}
    assert 0.6 * 100 < sum(len(feature["input_ids"]) - 2 for feature in joined) < 1.4 * 100


def test_each_epoch_draws_anew_and_the_same_again(char_tokenizer: PreTrainedTokenizerFast) -> None:
    data, other = (ExampleDataset(sentences(20), char_tokenizer, config(), 1.0, seed) for seed in (1, 2))
    first = joined_of(data, 20)
    assert joined_of(other, 20) != first
    data.set_epoch(1)
    second = joined_of(data, 20)
    assert second != first
    # Of about the same length in their places, as samplers that go by length look at them once.
    for a, b in zip(first, second, strict=True):
        assert abs(len(a["input_ids"]) - len(b["input_ids"])) <= 5
    data.set_epoch(0)
    assert joined_of(data, 20) == first


def test_neighbors_of_a_document_are_joined_in_its_order(char_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = [f"{document}-{number}" for document in ("doc1", "doc2") for number in range(10)]
    data = ExampleDataset(sentences(20, ids), char_tokenizer, config(), joined=3.0)
    for feature in joined_of(data, 20):
        numbers = [LETTERS.index(word[0]) for word in words_of(feature, char_tokenizer)]
        for before, after in pairwise(numbers):
            assert after == before + 1 or before in (9, 19)


@pytest.mark.parametrize("ids", [None, [f"file-{number}" for number in range(20)], list(range(20))])
def test_without_documents_examples_are_joined_at_random(
    char_tokenizer: PreTrainedTokenizerFast, ids: list[Any] | None
) -> None:
    data = ExampleDataset(sentences(20, ids), char_tokenizer, config(), joined=3.0)
    in_order = [
        LETTERS.index(after[0]) == LETTERS.index(before[0]) + 1
        for feature in joined_of(data, 20)
        for before, after in pairwise(words_of(feature, char_tokenizer))
    ]
    assert len(in_order) > 20
    assert sum(in_order) < len(in_order) / 4


def test_long_texts_are_joined_with_nothing(char_tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [Example("a" * 20, (Entity(0, 4, "person"),)) for _ in range(5)]
    assert len(ExampleDataset([*examples, *sentences(1)], char_tokenizer, config(), joined=1.0)) == 6
    assert len(ExampleDataset([], char_tokenizer, config(), joined=1.0)) == 0


def test_what_cannot_be_is_an_error(char_tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="find_span_rules"):
        ExampleDataset(sentences(3), char_tokenizer, config(max_length=None), joined=1.0)
    for joined in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="must be a finite number"):
            ExampleDataset(sentences(3), char_tokenizer, config(), joined=joined)


def test_entities_longer_than_the_longest_span_are_reported(char_tokenizer: PreTrainedTokenizerFast) -> None:
    data = ExampleDataset(sentences(3), char_tokenizer, config(max_span_length=3))
    assert all(data[index]["labels"] == [] for index in range(3))
    assert {item.reason for item in data.report.unaligned} == {"has more tokens than `max_span_length` allows"}
    assert data.report.unaligned_counts == {"person": 3}


def test_joined_texts_are_a_blank_apart_where_their_script_has_blanks() -> None:
    parts = [Example("Ada left.", (Entity(0, 3, "x"),)), Example("北京。", (Entity(0, 2, "x"),)), Example("上海")]
    joined = join_examples([*parts, Example("end\n"), Example("Bob", (Entity(0, 3, "x"),))])
    assert joined.text == "Ada left. 北京。上海end\nBob"
    assert [joined.text[e.start : e.end] for e in joined.entities] == ["Ada", "北京", "Bob"]


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_the_trainer_tells_the_epoch(
    char_tokenizer: PreTrainedTokenizerFast, strategy: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("efficient", labels=["person"])
    model.config.max_length = 32
    data = ExampleDataset(sentences(20), char_tokenizer, model.config, joined=1.0)
    seen: list[int] = []
    draw = ExampleDataset.set_epoch

    def set_epoch(self: ExampleDataset, epoch: int) -> None:
        seen.append(epoch)
        draw(self, epoch)

    monkeypatch.setattr(ExampleDataset, "set_epoch", set_epoch)
    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=3, train_sampling_strategy=strategy, report_to="none", save_strategy="no"
    )
    collator = DataCollatorForGlobalPointer(char_tokenizer)
    Trainer(model, arguments, collator, data, callbacks=[EpochCallback()]).train()
    assert list(dict.fromkeys(seen)) == [0, 1, 2]
    assert seen == sorted(seen)


def test_it_loads_in_batches(char_tokenizer: PreTrainedTokenizerFast) -> None:
    data = ExampleDataset(sentences(20), char_tokenizer, config(), joined=1.0)
    loader = DataLoader(data, 8, shuffle=True, collate_fn=DataCollatorForGlobalPointer(char_tokenizer))
    assert sum(len(batch["labels"]) for batch in loader) == len(data)
    assert all(batch["input_ids"].dtype == torch.long for batch in loader)


def test_capitals_are_marked_in_all_examples_and_in_half_of_the_joined_texts(
    char_tokenizer: PreTrainedTokenizerFast,
) -> None:
    examples = [replace(example, text=example.text.title()) for example in sentences(20)]
    data = ExampleDataset(examples, char_tokenizer, config(mark_capitals=True), joined=1.0)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        assert all(sum(data[index]["token_type_ids"]) == 1 for index in range(20))
        joined = joined_of(data, 20)
        marks = [sum(feature["token_type_ids"]) for feature in joined]
        assert marks == [index % 2 * len(feature["labels"]) for index, feature in enumerate(joined)]
    plain = ExampleDataset(examples, char_tokenizer, config(), joined=1.0)
    assert not any(sum(plain[index].get("token_type_ids", [])) for index in range(len(plain)))
