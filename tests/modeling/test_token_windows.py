import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from conftest import any_text, make_char_tokenizer
from hf_globalpointer.modeling.characters import character_kinds, word_boundaries
from hf_globalpointer.modeling.token_windows import tidy_offsets, token_windows


CHAR_TOKENIZER = make_char_tokenizer()


@pytest.fixture(scope="module")
def wordpiece(minilm: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(minilm)


def test_word_pieces_bound_spans_only_where_words_do(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel's"
    (window,) = token_windows(wordpiece, [text], 16, word_aligned=True)
    tokens = wordpiece.convert_ids_to_tokens(window.inputs["input_ids"])
    assert tokens == ["[CLS]", "angela", "mer", "##kel", "'", "s", "[SEP]"]
    assert window.span_token_mask.tolist() == [[0, 1, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 1, 0]]


def test_boundaries_are_those_of_each_text_in_all_its_windows() -> None:
    texts = ["ab cd ef", "", "gh"]
    words = [[(0, 8)], [], [(0, 1), (1, 2)]]
    windows = token_windows(CHAR_TOKENIZER, texts, 6, 1, word_aligned=True, words=words)
    assert [(window.sample, window.span_token_mask.tolist()) for window in windows] == [
        (0, [[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]),
        (0, [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]),
        (1, [[0, 0], [0, 0]]),
        (2, [[0, 1, 1, 0], [0, 1, 1, 0]]),
    ]


@settings(deadline=None)
@given(some=st.lists(any_text, min_size=1, max_size=4), max_length=st.integers(4, 9), data=st.data())
def test_boundaries_change_the_mask_alone(some: list[str], max_length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    plain = token_windows(CHAR_TOKENIZER, some, max_length, stride)
    aligned = token_windows(CHAR_TOKENIZER, some, max_length, stride, word_aligned=True)
    assert [window.sample for window in plain] == sorted(window.sample for window in plain)
    assert {window.sample for window in plain} == set(range(len(some)))
    for a, b in zip(plain, aligned, strict=True):
        assert (a.sample, a.offsets.tolist()) == (b.sample, b.offsets.tolist())
        assert str(a.inputs) == str(b.inputs)
        edges = word_boundaries(some[a.sample])[a.offsets].T
        assert b.span_token_mask.tolist() == (a.span_token_mask * edges).tolist()


@settings(deadline=None)
@given(text=st.text("ab c", max_size=40), max_length=st.integers(4, 9), data=st.data())
def test_windows_hold_every_token_and_share_the_stride(text: str, max_length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    windows = token_windows(CHAR_TOKENIZER, [text], max_length, stride)
    assert all(len(window.inputs["input_ids"]) == max_length for window in windows[:-1])
    assert len(windows[-1].inputs["input_ids"]) <= max_length
    letters = [index for index, letter in enumerate(text) if letter != " "]
    seen: list[int] = []
    for index, window in enumerate(windows):
        starts = window.offsets[window.span_token_mask.astype(bool), 0].tolist()
        assert index == 0 or starts[:stride] == seen[len(seen) - stride :]
        seen += starts if index == 0 else starts[stride:]
    assert seen == letters


@given(text=st.text("ab \u0301\u0323", max_size=12), data=st.data())
def test_a_token_takes_in_the_marks_that_no_token_covers(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = [pair for pair in pairwise(cuts) if data.draw(st.booleans())]
    tidy = tidy_offsets(character_kinds(text), np.array(spans, dtype=np.int64).reshape(-1, 2)).tolist()
    covered = {position for start, end in tidy for position in range(start, end)}
    raw = {position for span in spans for position in range(*span)}
    for (start, end), (_, raw_end) in zip(tidy, spans, strict=True):
        taken = text[max(raw_end, start) : end]
        assert all(unicodedata.category(character).startswith("M") for character in taken)
        assert raw.isdisjoint(range(raw_end, end))
        if start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
            assert end in covered


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("کتاب\u200c خوب", id="non-joiner-after-a-word"),
        pytest.param("\u200cAda left", id="non-joiner-before-a-word"),
        pytest.param("नी\u200d है", id="joiner-after-a-word"),
        pytest.param("\u0301Ada left", id="mark-before-a-word"),
    ],
)
def test_what_the_tokenizer_drops_at_the_edge_of_a_word_does_not_hide_it(
    wordpiece: PreTrainedTokenizerBase, text: str
) -> None:
    (window,) = token_windows(wordpiece, [text], 32, word_aligned=True)
    # Each of the two words has a token that begins it and one that ends it.
    assert window.span_token_mask.sum(axis=1).tolist() == [2, 2]


def test_a_composed_syllable_covers_all_its_letters() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "한": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    (window,) = token_windows(fast, ["\u1112\u1161\u11ab x"], 8)
    assert window.offsets.tolist() == [[0, 3], [4, 5]]
