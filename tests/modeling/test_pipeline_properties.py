"""What holds for the pipeline on any text, with tokenizers of every family."""

import random
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from conftest import LABELS, bounds_of, make_char_tokenizer, make_model, owner_of
from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.modeling.words import word_boundaries


Key = tuple[str, int, int]
Entities = list[dict[str, Any]]

TRAINING_TEXTS = [
    "Ada Lovelace met Charles Babbage in London, and wrote the notes of 1843.",
    "The University of Leeds moved from Beech Grove Hall to Woodhouse Lane.",
    "Die Straße nach Łódź führt über Görlitz; 東京 と 北京 は 遠い。",
]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
ROOM = 38  # all models here take 40 tokens, two of them special
ALL_SPANS = 5_000  # more than there are in a window

fragments = st.sampled_from(
    [
        *("Ada Lovelace", "don't", "a_b", "U.S.", "x2", " ", "  ", "\t", "\n", "\xa0", "\u3000", "\u2028", "[SEP]"),
        *(
            "Mu\u0308ller",
            "e\u0301\u0323",
            "\u0301",
            "İstanbul",
            "Straße",
            "ﬁn",
            "①②",
            "ﷺ",
            "\uff21\uff22\uff11",
            "㍿",
        ),
        *("👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "❤\ufe0f", "\u200d", "\u200c", "\u200b", "\ufeff", "\xad"),
        *("שָׁלוֹם", "\u202eabc\u202c", "می\u200cروم", "مُحَمَّد", "東京都", "か\u3099", "한국어", "ภาษาไทย", "हिन्दी"),
        *("\x00", "\x1b", "\x85", "\ud83d", "\udc00", "\ud83d\ude00", "\U000e0041", "\U0010ffff", "\ue000"),
    ]
)
any_text = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates among them
texts = st.builds(str.join, st.sampled_from(["", " "]), st.lists(fragments | any_text, max_size=9))
long_texts = st.builds(str.join, st.just(" "), st.lists(fragments | any_text, min_size=12, max_size=20))


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, whose offsets take in the blank before a word, as of RoBERTa and GPT-2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 1), trim_offsets=False, add_prefix_space=False
    )
    return fast(tokenizer)


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Unigram over Metaspace, with a normalizer that changes lengths, as of XLM-RoBERTa and T5."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return fast(tokenizer)


def fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=40, **names)


def make_pipe(kind: str, tokenizer: PreTrainedTokenizerFast) -> GlobalPointerNerPipeline:
    model = make_model(kind, vocab_size=len(tokenizer), max_spans=ALL_SPANS)
    return GlobalPointerNerPipeline(model=model, tokenizer=tokenizer, task="x")


@pytest.fixture(scope="session", params=["characters", "wordpiece", "bytes", "unigram"])
def pipe(request: pytest.FixtureRequest, minilm: str) -> GlobalPointerNerPipeline:
    """A tiny model of either kind behind a tokenizer of each family."""
    if request.param == "characters":
        return make_pipe("full", make_char_tokenizer())
    if request.param == "wordpiece":
        return make_pipe("efficient", AutoTokenizer.from_pretrained(minilm, model_max_length=40))
    if request.param == "bytes":
        return make_pipe("full", bytes_tokenizer())
    return make_pipe("efficient", unigram_tokenizer())


@pytest.fixture(scope="session")
def char_pipe() -> GlobalPointerNerPipeline:
    return make_pipe("efficient", make_char_tokenizer())


def key_of(entity: dict[str, Any]) -> Key:
    return entity["entity_group"], entity["start"], entity["end"]


def as_dict(entities: Entities) -> dict[Key, float]:
    return {key_of(entity): entity["score"] for entity in entities}


def place(entity: dict[str, Any]) -> tuple[int, int, str]:
    return entity["start"], -entity["end"], entity["entity_group"]


def assert_well_formed(text: str, entities: Entities) -> None:
    for entity in entities:
        assert 0 <= entity["start"] < entity["end"] <= len(text)
        assert entity["word"] == text[entity["start"] : entity["end"]] == entity["word"].strip()
        assert entity["entity_group"] in LABELS
        assert 0 < entity["score"] < 1
    places = [place(entity) for entity in entities]
    assert places == sorted(set(places))


def assert_alike(found: dict[Key, float], expected: dict[Key, float], threshold: float = 0.5) -> None:
    """Both hold the same spans and scores; a score within 1e-5 of the threshold may have come out on either side."""
    for key in found.keys() ^ expected.keys():
        assert {**found, **expected}[key] == pytest.approx(threshold, abs=1e-5), key
    both = found.keys() & expected.keys()
    assert {key: found[key] for key in both} == pytest.approx({key: expected[key] for key in both}, abs=1e-5)


def assert_same(found: Entities, expected: Entities) -> None:
    """The same entities in the same order; PyTorch's sigmoid may differ in its last bit from place to place."""
    assert [key_of(entity) for entity in found] == [key_of(entity) for entity in expected]
    scores = [entity["score"] for entity in expected]
    assert [entity["score"] for entity in found] == pytest.approx(scores, rel=1e-14)


def without_surrogates(text: str) -> str:
    """What a tokenizer can take, at the same positions."""
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def tidied(text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Tokens without spaces at the edges, with the marks that follow and that no token covers."""
    covered = {position for start, end in offsets for position in range(start, end)}
    tidy = []
    for start, end in offsets:
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        while start < end < len(text) and end not in covered and unicodedata.category(text[end])[0] == "M":
            end += 1
        tidy.append((start, end))
    return tidy


@torch.no_grad()
def from_logits(
    pipe: GlobalPointerNerPipeline,
    text: str,
    stride: int = 10,
    threshold: float = 0.5,
) -> dict[Key, float]:
    """What must be found in a text of any length: the dense logits of its windows, cell by cell.

    A span has the score of the window in which it is farthest from an end at which the text goes on.
    """
    encoded = pipe.tokenizer(
        without_surrogates(text), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    ids, tokens = encoded["input_ids"], tidied(text, encoded["offset_mapping"])
    first_special, last_special = pipe.tokenizer("")["input_ids"]
    not_blank = torch.tensor([start < end for start, end in tokens], dtype=torch.bool)
    best: dict[Key, float] = {}
    bounds = bounds_of(pipe.tokenizer, text, ROOM + 2, stride)
    for window, (begin, end) in enumerate(bounds):
        part = slice(begin, end)
        inputs = torch.tensor([[first_special, *ids[part], last_special]])
        scores = pipe.model(input_ids=inputs).logits[0, :, 1:-1, 1:-1].double().sigmoid()
        allowed = not_blank[part, None] & not_blank[part]
        for a, i, j in (allowed & (scores > threshold)).nonzero().tolist():
            if owner_of(bounds, begin + i, begin + j) == window:
                key = pipe.model.config.id2label[a], tokens[begin + i][0], tokens[begin + j][1]
                best[key] = max(best.get(key, 0.0), scores[a, i, j].item())
    return best


def clash(overlap: str, a: dict[str, Any], b: dict[str, Any]) -> bool:
    """By sets of positions, not by comparing ends as the package does."""
    x, y = (set(range(entity["start"], entity["end"])) for entity in (a, b))
    return bool(x & y) and (overlap == "flat" or not (x <= y or y <= x))


def greedy(entities: Entities, overlap: str, top_k: int | None = None) -> Entities:
    """Take entities from the best down, but for those that clash with one taken before."""
    taken: Entities = []
    for entity in sorted(entities, key=lambda e: (-e["score"], *place(e))):
        if overlap == "all" or not any(clash(overlap, entity, other) for other in taken):
            taken.append(entity)
    return sorted(taken[:top_k], key=place)


@settings(max_examples=80)
@given(text=texts)
def test_entities_are_those_of_the_logits(pipe: GlobalPointerNerPipeline, text: str) -> None:
    entities = pipe(text)
    assert_well_formed(text, entities)
    assert_alike(as_dict(entities), from_logits(pipe, text))


@settings(max_examples=50)
@given(text=long_texts, stride=st.sampled_from([0, 1, 10, 30]), batch_size=st.integers(1, 5))
def test_entities_of_a_long_text_are_those_of_its_windows(
    pipe: GlobalPointerNerPipeline, text: str, stride: int, batch_size: int
) -> None:
    entities = pipe(text, stride=stride, batch_size=batch_size, threshold=0.9)
    assert_well_formed(text, entities)
    assert_alike(as_dict(entities), from_logits(pipe, text, stride, 0.9), 0.9)


@settings(max_examples=50)
@given(text=texts, stride=st.integers(0, ROOM - 1))
def test_windows_do_not_matter_to_a_text_that_fits(pipe: GlobalPointerNerPipeline, text: str, stride: int) -> None:
    if len(pipe.tokenizer(without_surrogates(text), verbose=False)["input_ids"]) <= 40:
        assert pipe(text, stride=stride) == pipe(text, on_long="error") == pipe(text)
    else:
        with pytest.raises(ValueError, match="has more tokens than one window takes"):
            pipe(text, on_long="error")


@settings(max_examples=40)
@given(some=st.lists(texts | long_texts, max_size=6), batch_size=st.integers(1, 9), seed=st.integers(0, 999))
def test_neither_batch_size_nor_company_nor_order_matters(
    pipe: GlobalPointerNerPipeline, some: list[str], batch_size: int, seed: int
) -> None:
    order = random.Random(seed).sample(range(len(some)), len(some))
    results = pipe([some[index] for index in order], batch_size=batch_size, threshold=0.8)
    assert len(results) == len(some)
    for index, entities in zip(order, results, strict=True):
        assert_well_formed(some[index], entities)
        assert_alike(as_dict(entities), as_dict(pipe(some[index], threshold=0.8)), 0.8)


@settings(max_examples=40)
@given(
    text=texts | long_texts,
    overlap=st.sampled_from(["all", "nested", "flat"]),
    top_k=st.none() | st.integers(0, 6),
)
def test_overlap_and_top_k_choose_from_the_best_down(
    pipe: GlobalPointerNerPipeline, text: str, overlap: str, top_k: int | None
) -> None:
    everything = pipe(text, threshold=0.8)
    assert pipe(text, threshold=0.8, overlap=overlap, top_k=top_k) == greedy(everything, overlap, top_k)


@settings(max_examples=40)
@given(text=texts | long_texts, data=st.data())
def test_a_threshold_takes_exactly_what_scores_higher(
    pipe: GlobalPointerNerPipeline, text: str, data: st.DataObject
) -> None:
    everything = pipe(text, threshold=0.2)
    # Among the thresholds are scores themselves: what scores as much, and no more, is left out.
    threshold = st.floats(0.2, 0.99)
    if everything:
        threshold |= st.sampled_from([entity["score"] for entity in everything])
    by_label = data.draw(st.fixed_dictionaries(dict.fromkeys(LABELS, threshold)))
    expected = [entity for entity in everything if entity["score"] > by_label[entity["entity_group"]]]
    assert_same(pipe(text, threshold=by_label), expected)
    one = by_label[LABELS[0]]
    assert_same(pipe(text, threshold=one), [entity for entity in everything if entity["score"] > one])


@settings(max_examples=40)
@given(text=texts | long_texts)
def test_word_aligned_takes_exactly_what_begins_and_ends_with_words(pipe: GlobalPointerNerPipeline, text: str) -> None:
    edges = set(word_boundaries(text).nonzero()[0].tolist())
    everything = pipe(text, threshold=0.8)
    expected = [entity for entity in everything if entity["start"] in edges and entity["end"] in edges]
    assert_same(pipe(text, threshold=0.8, word_aligned=True), expected)


@settings(max_examples=40)
@given(words=st.lists(fragments | any_text, max_size=8), delimiter=st.sampled_from([" ", "", "\n", ", "]))
def test_words_are_their_text(pipe: GlobalPointerNerPipeline, words: list[str], delimiter: str) -> None:
    (entities,) = pipe([words], is_split_into_words=True, delimiter=delimiter)
    assert entities == pipe(delimiter.join(words))
    if words:
        assert pipe(words, is_split_into_words=True, delimiter=delimiter) == entities


@settings(max_examples=40)
@given(words=st.lists((fragments | any_text).map(str.strip), max_size=8), delimiter=st.sampled_from([" ", ""]))
def test_word_aligned_goes_by_the_given_words(
    pipe: GlobalPointerNerPipeline, words: list[str], delimiter: str
) -> None:
    starts, ends, position = set(), set(), 0
    for word in words:
        starts.add(position)
        ends.add(position + len(word))
        position += len(word) + len(delimiter)
    (entities,) = pipe([words], is_split_into_words=True, delimiter=delimiter, word_aligned=True)
    everything = pipe(delimiter.join(words))
    assert_same(entities, [entity for entity in everything if entity["start"] in starts and entity["end"] in ends])


ALPHABETS: list[Callable[[random.Random], str]] = [
    lambda r: chr(r.randrange(0x20, 0x7F)),
    lambda r: chr(r.randrange(0x110000)),
    lambda r: chr(r.randrange(0xD800, 0xE000)),
    lambda r: chr(r.randrange(0x20)),
    lambda r: r.choice("abcdefgh    .,"),
    lambda r: chr(r.randrange(0x300, 0x370)),
    lambda r: chr(r.randrange(0x590, 0x700)),
    lambda r: chr(r.randrange(0xE00, 0xE80)),
    lambda r: chr(r.randrange(0x2000, 0x2070)),
    lambda r: chr(r.randrange(0x3000, 0x9FFF)),
    lambda r: chr(r.randrange(0xFE00, 0x10000)),
    lambda r: r.choice("👩👍🏽🇩🇪❤\ufe0f\u200d"),
]


def random_text(chance: random.Random, longest: int) -> str:
    """Of one, two or three alphabets, more often short than long."""
    some = chance.sample(ALPHABETS, chance.randint(1, 3))
    length = int(longest * chance.random() ** 4)
    return "".join(chance.choice(some)(chance) for _ in range(length))


@pytest.mark.parametrize("split", [False, True])
def test_no_input_is_too_odd(char_pipe: GlobalPointerNerPipeline, split: bool) -> None:
    chance = random.Random(int(split))
    inputs: list[Any] = [random_text(chance, 300) for _ in range(5_000)]
    inputs += [random_text(chance, 4_000) for _ in range(40)]
    if split:
        inputs = [[random_text(chance, 30) for _ in range(chance.randrange(12))] for _ in range(5_000)]
    options = {"is_split_into_words": split, "word_aligned": split, "max_spans": 20, "overlap": "flat"}
    results = char_pipe(inputs, batch_size=64, **options)
    assert len(results) == len(inputs)
    assert sum(map(len, results)) > 5_000
    for one, entities in zip(inputs, results, strict=True):
        assert_well_formed(" ".join(one) if split else one, entities)
