from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from hf_globalpointer.data import Entity, Example, read_examples
from hf_globalpointer.data.checks import Issue, SplitCheck, check_splits


SHARED = Path(__file__).parents[3] / "shared" / "data"


def example(text: str, *entities: tuple[str, str], name: str | None = None) -> Example:
    """An example with the first occurrence of each of the words as an entity."""
    spans = (Entity(text.index(words), text.index(words) + len(words), label) for words, label in entities)
    return Example(text, tuple(spans), id=name or text)


def check_one(*examples: Example) -> SplitCheck:
    return check_splits({"train": examples})["train"]


def counts(check: SplitCheck) -> dict[Issue, int]:
    """How many findings there are of each issue, but of labels with few entities, as all have here."""
    return {issue: len(found) for issue, found in check.findings.items() if issue is not Issue.FEW_ENTITIES}


def test_lengths_in_tokens_and_what_does_not_align(char_tokenizer: PreTrainedTokenizerFast) -> None:
    long = Example("a" * 100, (Entity(0, 90, "x"),))
    odd = Example("ab cd", (Entity(0, 2, "x"), Entity(1, 3, "y")), id="odd")
    check = check_splits({"train": [long, odd]}, char_tokenizer)["train"]
    assert check.text_tokens == {102: 1, 6: 1}
    assert check.entity_tokens == {90: 1, 2: 1}
    assert counts(check)[Issue.UNALIGNED] == 1
    assert check.findings[Issue.UNALIGNED] == ["odd: 'b ' (y, 1-3) begins or ends where no token does"]


def test_entities_that_overlap_are_no_problem() -> None:
    check = check_one(Example("a b c d", (Entity(0, 5, "x"), Entity(2, 3, "x"), Entity(4, 7, "y"), Entity(4, 7, "x"))))
    assert (check.nested, check.crossing, check.doubly_labeled) == (4, 3, 2)
    assert (counts(check), check.num_problems) == ({}, 0)


@pytest.mark.parametrize(
    ("text", "words", "issue"),
    [
        ("in Leeds today", "Leeds ", Issue.BLANK_EDGE),
        ("in Leeds today", " Leeds", Issue.BLANK_EDGE),
        ("in Leeds\ttoday", "Leeds\t", Issue.BLANK_EDGE),
        ("in Leeds, today", "Leeds,", Issue.PUNCTUATION_EDGE),
        ("in (Leeds) today", "(Leeds", Issue.PUNCTUATION_EDGE),
        ("in (Leeds) today", "Leeds)", Issue.PUNCTUATION_EDGE),
        ('in "Leeds" today', '"Leeds', Issue.PUNCTUATION_EDGE),
        ("we saw Sheffield.", "Sheffield.", Issue.PUNCTUATION_EDGE),
        ("住在《红楼》里", "红楼》", Issue.PUNCTUATION_EDGE),
        ("in Leeds today", "Leed", Issue.CUT_WORD),
        ("in Leeds today", "eeds", Issue.CUT_WORD),
        ("in Leeds today", "Leeds", None),
        ("in (Leeds) today", "(Leeds)", None),
        ("in Leeds (Yorks) today", "Leeds (Yorks)", None),
        ("the U.S. today", "U.S.", None),
        ("by Acme Corp. today", "Acme Corp.", None),
        ("gained 5 % today", "5 %", None),
        ("住在《红楼》里", "《红楼》", None),
        ("他在北京大学", "北京", None),
    ],
)
def test_ends_that_are_probably_off_by_one(text: str, words: str, issue: Issue | None) -> None:
    check = check_one(example(text, (words, "x"), name="here"))
    assert counts(check) == ({issue: 1} if issue else {})
    if issue:
        (message,) = check.findings[issue]
        start = text.index(words)
        assert message.startswith("here: ")
        assert message.endswith(f"(x, {start}-{start + len(words)})")
        assert check.num_problems == (issue is Issue.BLANK_EDGE)


TOWNS = [example(f"in {town} today, {place}", (town, "x")) for town in ("Leeds", "York", "Hull") for place in "abc"]


def shifted(examples: list[Example], by: int) -> list[Example]:
    return [
        Example(each.text, tuple(Entity(e.start, e.end + by, e.label) for e in each.entities), id=each.id)
        for each in examples
    ]


@pytest.mark.parametrize(
    ("by", "what"),
    [
        (
            -1,
            "9 of 9 entities of train have an odd edge, but 0 if the ends were +1: ends look inclusive; add 1 to",
        ),
        (
            1,
            "9 of 9 entities of train have an odd edge, but 0 if the ends were -1: ends look one too high; take",
        ),
    ],
)
def test_ends_that_are_all_off_by_one_are_a_problem(by: int, what: str) -> None:
    (message,) = check_one(*shifted(TOWNS, by)).findings[Issue.SHIFTED_ENDS]
    assert message.startswith(what)
    mixed = check_one(*shifted(TOWNS[:5], by), *TOWNS[5:])
    assert Issue.SHIFTED_ENDS not in mixed.findings
    assert Issue.SHIFTED_ENDS not in check_one(*shifted(TOWNS[:4], by)).findings  # too few to tell


def test_ends_that_are_right_are_not_all_off_by_one() -> None:
    assert counts(check_one(*TOWNS)) == {}
    # Odd for another reason: what follows is no end either.
    cut = [example(f"in {word} {number}", ("gen", "x")) for word in ("genes", "genus") for number in range(5)]
    assert counts(check_one(*cut)) == {Issue.CUT_WORD: 10}


def test_entities_given_twice() -> None:
    check = check_one(Example("Ada met Bob", (Entity(0, 3, "p"), Entity(0, 3, "p"), Entity(8, 11, "p")), id="here"))
    assert counts(check) == {Issue.REPEATED: 1}
    assert check.findings[Issue.REPEATED] == ["here: '[Ada] met Bob' (p, 0-3)"]
    assert check.num_problems == 0


def test_empty_texts() -> None:
    check = check_one(Example("", id=1), Example(" \n", id=2), Example("", id=3))
    assert counts(check) == {Issue.EMPTY_TEXT: 3}
    assert check.findings[Issue.EMPTY_TEXT] == ["1", "2", "3"]


def test_duplicates_within_and_across_splits() -> None:
    ada = ("Ada", "person")
    train = [
        example("Ada left", ada, name="a"),
        example("Ada  left ", ada, name="b"),
        example("Ada left", ("left", "person"), name="c"),
        example("Ada came", ada, name="d"),
        example("Bob came", ("Bob", "place"), name="g"),
    ]
    dev = [example(" Ada left", ada, name="e"), example("Ada came", ("Ada", "place"), name="f")]
    checks = check_splits({"train": train, "dev": dev})
    assert counts(checks["train"]) == {Issue.DUPLICATE: 2, Issue.CONFLICT: 1}
    assert checks["train"].findings[Issue.DUPLICATE] == ["b: the text of a", "c: the text of a"]
    assert checks["train"].findings[Issue.CONFLICT] == ["c: other entities than a"]
    assert checks["train"].num_problems == 1
    assert counts(checks["dev"]) == {Issue.LEAK: 2, Issue.CONFLICT: 1}
    assert checks["dev"].findings[Issue.LEAK] == ["e: the text of a of train", "f: the text of d of train"]
    assert checks["dev"].findings[Issue.CONFLICT] == ["f: other entities than d"]
    assert checks["dev"].num_problems == 3


def test_a_text_that_occurs_again_with_its_entities_is_no_problem() -> None:
    check = check_one(*[example("Ada left", ("Ada", "person"))] * 2)
    assert counts(check) == {Issue.DUPLICATE: 1}
    assert check.num_problems == 0


def test_a_split_without_entities_is_unlabeled() -> None:
    labeled, unlabeled = [example("Ada left", ("Ada", "person"))], [Example("Ada left")]
    checks = check_splits({"labeled": labeled, "unlabeled": unlabeled})
    assert [counts(check) for check in checks.values()] == [{}, {Issue.LEAK: 1}]
    checks = check_splits({"unlabeled": unlabeled, "labeled": labeled})
    assert [counts(check) for check in checks.values()] == [{}, {Issue.LEAK: 1, Issue.UNKNOWN_LABEL: 1}]


@pytest.mark.parametrize(
    ("label", "other", "times", "issue"),
    [
        ("organization", "organsation", 20, Issue.LABEL_TYPO),
        ("organisation", "organsiaton", 20, Issue.LABEL_TYPO),  # two swaps
        ("organization", "organization ", 1, Issue.LABEL_TYPO),
        ("ORG", "org", 1, Issue.LABEL_TYPO),
        ("adverse-effect", "adverse_effect", 1, Issue.LABEL_TYPO),
        ("person", "persno", 20, Issue.LABEL_TYPO),
        ("adverse.effect", "adverse/effect", 1, Issue.LABEL_TYPO),
        ("person", "persn", 19, Issue.NEAR_LABEL),  # not so rare
        ("person", "persno", 4, None),  # not rare
        ("person", "pesrno", 20, None),  # two swaps in a short one
        ("level1", "level2", 50, None),
        ("dis", "sym", 50, None),
        ("DNA", "RNA", 50, None),
        ("c++", "c#", 50, None),
        ("c", "c++", 50, None),
        ("PER", "PERS", 20, Issue.LABEL_TYPO),
        ("LOCS", "LOC", 20, Issue.LABEL_TYPO),
        ("ORG", "ORGS", 5, Issue.NEAR_LABEL),
        ("ORG", "ORGS", 4, None),  # not rare
        ("PER", "SPER", 50, None),
        ("LOC", "LCO", 20, Issue.LABEL_TYPO),
        ("C", "C#", 50, None),
        ("ORG", "ORG2", 50, None),
    ],
)
def test_label_typos(label: str, other: str, times: int, issue: Issue | None) -> None:
    texts = [Example(f"word {number}", (Entity(0, 4, label),)) for number in range(times)]
    check = check_one(*texts, Example("other", (Entity(0, 5, other),)))
    assert counts(check) == ({issue: 1} if issue else {})
    assert check.num_problems == (issue is Issue.LABEL_TYPO)
    if issue and times > 1:
        (message,) = check.findings[issue]
        assert message.endswith(f": label {other!r} (1 in all) may be {label!r} ({times} in all)")


def test_labels_that_a_split_lacks() -> None:
    train = [example("Ada left", ("Ada", "person")), example("Ada came", ("Ada", "place"))]
    dev, test = [example("Bob left", ("Bob", "person"))], [Example("Eve left")]
    checks = check_splits({"train": train, "dev": dev, "test": test})
    assert [counts(checks[name]) for name in checks] == [{}, {Issue.ABSENT_LABEL: 1}, {}]
    assert checks["dev"].findings[Issue.ABSENT_LABEL] == ["label 'place' (1 in train) is not in dev"]
    assert checks["dev"].num_problems == 0


def test_labels_that_the_training_split_lacks_are_a_problem() -> None:
    train = [example("Ada left", ("Ada", "person"))]
    dev = [example("Bob came", ("Bob", "person"), ("came", "event"))]
    checks = check_splits({"train": train, "dev": dev, "test": [example("Eve sat", ("Eve", "person"))]})
    assert [counts(checks[name]) for name in checks] == [{}, {Issue.UNKNOWN_LABEL: 1}, {}]
    assert checks["dev"].findings[Issue.UNKNOWN_LABEL] == [
        "Bob came: label 'event' (1 in dev) is not in train; correct it, or train with examples of it"
    ]
    assert checks["dev"].num_problems == 1


def test_labels_with_few_entities_to_learn_from() -> None:
    split = [
        Example(f"word {number}", (Entity(0, 4, "often"), *([Entity(5, 6, "seldom")] if number else [])))
        for number in range(10)
    ]
    checks = check_splits({"train": split, "dev": [Example("other", each.entities[:1]) for each in split[:1]]})
    assert checks["train"].findings == {Issue.FEW_ENTITIES: ["'word 1': label 'seldom' (9 in train): fewer than 10"]}
    assert checks["train"].num_problems == 0
    assert Issue.FEW_ENTITIES not in checks["dev"].findings


def test_findings_are_all_kept() -> None:
    assert len(check_one(*[Example("same")] * 151).findings[Issue.DUPLICATE]) == 150


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not there")
def test_counts_of_conll04_are_those_its_source_states() -> None:
    checks = check_splits(
        {name: read_examples(SHARED / "conll04" / f"{name}.jsonl") for name in ("train", "dev", "test")}
    )
    assert {name: (check.texts, check.entities.total()) for name, check in checks.items()} == {
        "train": (922, 3377),
        "dev": (231, 893),
        "test": (288, 1079),
    }
    assert [len(check.findings[Issue.DUPLICATE]) for check in checks.values()] == [27, 3, 1]
    assert [len(check.findings[Issue.LEAK]) for check in checks.values()] == [0, 14, 20 + 3]
    assert max(checks["train"].text_characters) == 641
    assert max(checks["train"].entity_characters) == 85
