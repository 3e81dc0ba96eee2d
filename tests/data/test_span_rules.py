import pytest
from tokenizers import normalizers
from transformers import BertConfig, DistilBertConfig, PreTrainedTokenizerFast

from hf_globalpointer import (
    BertEfficientGlobalPointerConfig,
    EncoderEfficientGlobalPointerConfig,
    Entity,
    Example,
    find_span_rules,
)
from hf_globalpointer.data.statistics import find_overlaps


def example(text: str, *spans: tuple[int, int], label: str = "x") -> Example:
    return Example(text, tuple(Entity(*span, label) for span in spans))


APART = example("ab cd ef", (0, 2), (3, 5))
NESTED = example("ab cd ef", (0, 5), (3, 5))
CROSSING = example("ab cd ef", (0, 5), (3, 8))
TWO_LABELS = Example("ab", (Entity(0, 2, "x"), Entity(0, 2, "y")))


@pytest.mark.parametrize(
    ("examples", "overlap"),
    [
        pytest.param([APART, APART], "flat", id="apart"),
        pytest.param([example("abcd", (0, 2), (2, 4))], "flat", id="side-by-side"),
        pytest.param([APART, NESTED], "nested", id="nested"),
        pytest.param([TWO_LABELS], "nested", id="two-labels-on-a-span"),
        pytest.param([NESTED, CROSSING, APART], "all", id="crossing"),
        pytest.param([example("ab", (0, 2), (0, 2))], "flat", id="given-twice"),
        pytest.param([], "flat", id="nothing"),
    ],
)
def test_the_rule_is_the_strictest_that_no_entity_breaks(
    char_tokenizer: PreTrainedTokenizerFast, examples: list[Example], overlap: str
) -> None:
    rules = find_span_rules(examples, char_tokenizer)
    assert rules.overlap == overlap
    config = BertEfficientGlobalPointerConfig(labels=["x", "y"])
    rules.apply(config)
    assert (config.overlap, config.max_span_length, config.max_length) == (overlap, 16, 40)
    config.validate()


def test_counts_are_of_entities(char_tokenizer: PreTrainedTokenizerFast) -> None:
    rules = find_span_rules([NESTED, CROSSING, APART, TWO_LABELS], char_tokenizer)
    assert (rules.num_entities, rules.num_nested, rules.num_crossing) == (8, 4, 2)
    assert 'of 8 entities 2 cross another, 4 are nested: overlap "all"' in rules.summary()


def test_the_longest_span_is_twice_the_longest_entity_in_tokens(char_tokenizer: PreTrainedTokenizerFast) -> None:
    """Blanks are no tokens here."""
    rules = find_span_rules([example("abcd efghi", (0, 10)), APART], char_tokenizer)
    assert (rules.longest, rules.max_span_length) == (9, 18)


def test_windows_hold_nearly_all_texts_as_far_as_the_encoder_goes(char_tokenizer: PreTrainedTokenizerFast) -> None:
    char_tokenizer.model_max_length = 1000
    short, long = example("a" * 50, (0, 1)), example("a" * 298, (0, 1))
    assert find_span_rules([short] * 200, char_tokenizer).max_length == 192
    assert find_span_rules([short] * 200 + [long], char_tokenizer).max_length == 192
    assert find_span_rules([short] * 50 + [long] * 2, char_tokenizer).max_length == 300
    assert find_span_rules([short] * 50 + [long] * 2, char_tokenizer, 256).max_length == 256
    assert find_span_rules([example("a" * 80, (0, 70))], char_tokenizer).max_length == 560


@pytest.mark.parametrize(
    ("text", "is_cased", "segments", "marked"),
    [
        ("Ada left", False, 2, True),
        ("ada left", False, 2, False),
        ("Ada left", True, 2, False),
        ("Ada left", False, 1, False),
        # Where all is in capitals, none is marked.
        ("ADA LEFT", False, 2, False),
        # What cannot be tokenized is replaced.
        ("Ada \ud800", False, 2, True),
    ],
)
def test_capitals_are_marked_where_the_tokenizer_hides_them(
    char_tokenizer: PreTrainedTokenizerFast, text: str, is_cased: bool, segments: int, marked: bool
) -> None:
    if is_cased:
        char_tokenizer.add_tokens(["A"])
        char_tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    rules = find_span_rules([example(text, (0, 3))], char_tokenizer)
    assert rules.hides_capitals == (text.startswith("Ada") and not is_cased)
    assert ("hide capitals" in rules.summary()) == rules.hides_capitals
    for config in (
        BertEfficientGlobalPointerConfig(labels=["x"], type_vocab_size=segments),
        EncoderEfficientGlobalPointerConfig(labels=["x"], encoder_config=BertConfig(type_vocab_size=segments)),
    ):
        rules.apply(config)
        config.validate()
        assert config.mark_capitals == marked
    # The leftover of a file.
    for encoder_config in (DistilBertConfig(), DistilBertConfig(type_vocab_size=2)):
        config = EncoderEfficientGlobalPointerConfig(labels=["x"], encoder_config=encoder_config)
        rules.apply(config)
        assert not config.mark_capitals


def test_overlaps_are_those_of_pairs_of_characters() -> None:
    text = "abcdefgh"
    spans = [(0, 3), (2, 5), (2, 4), (5, 8), (5, 8), (6, 7)]
    entities = [Entity(*span, label) for span, label in zip(spans, "xxxxyx", strict=True)]
    found = find_overlaps(entities)
    wanted: dict[str, set[Entity]] = {"nested": set(), "crossing": set(), "same_span": set()}
    for a in entities:
        for b in entities:
            x, y = set(text[a.start : a.end]), set(text[b.start : b.end])
            if a is not b and x & y:
                wanted["nested" if x <= y or y <= x else "crossing"] |= {a, b}
                if x == y:
                    wanted["same_span"] |= {a, b}
    assert found._asdict() == wanted
    assert all(wanted.values())
