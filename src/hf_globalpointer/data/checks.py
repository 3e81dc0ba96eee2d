"""What is likely to be wrong with labeled data, split by split."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import Enum
from hashlib import blake2b
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..modeling.words import word_boundaries
from .examples import Entity, Example
from .statistics import SplitStatistics


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How many examples go through the tokenizer at once.
_BATCH = 1_000
# More tokens than any text has: lengths and alignment are those of complete texts, not of windows.
_NO_WINDOWS = 10**9
# A label that is nearly another one is mistyped if that occurs this many times as often, and may be if so many times.
_RARE = 20
_LESS_RARE = 5
# Shorter labels, as DNA and RNA, are rightly near one another, unless one is the other and a letter, as PER and PERS.
_NEAR_LENGTH = 4
# A label is hardly learned from fewer entities.
_FEW = 10
# What spellings of one label differ in.
_SEPARATORS = re.compile(r"[-_./\s]")
_DIGITS = re.compile(r"\d")
# So many entities with an end that seems to be wrong, and such a share, may be those of ends that are all off by one.
_SHIFTED = 5
_SHIFTED_SHARE = 0.2
# Punctuation that names may begin or end with.
_ALLOWED_EDGES = frozenset("%&#@*")
# "Conn." and its dot are as long as an abbreviation that is taken as one.
_ABBREVIATION = 5
_BRACKETS = {")": "(", "]": "[", "}": "{", "\uff09": "\uff08", "》": "《", "】": "【", "”": "“", "」": "「"}


class Issue(Enum):
    """What may be wrong: a few words, and whether it certainly is."""

    NOT_EXACT = "not read exactly", True
    EMPTY_TEXT = "text without characters", True
    LEAK = "text occurs in another split", True
    CONFLICT = "same text, other entities", True
    UNKNOWN_LABEL = "label does not occur in the training split", True
    LABEL_TYPO = "label is nearly another one", True
    SHIFTED_ENDS = "split whose ends are all off by one", True
    BLANK_EDGE = "entity begins or ends with whitespace", True
    UNALIGNED = "entity does not align with the tokens", True
    PUNCTUATION_EDGE = "entity begins or ends with punctuation", False
    CUT_WORD = "entity cuts a word", False
    NEAR_LABEL = "label is near to another one", False
    ABSENT_LABEL = "label of the training split does not occur", False
    FEW_ENTITIES = "label has few entities to learn from", False
    DUPLICATE = "text occurs before in its split", False
    REPEATED = "entity is given twice in its text", False

    def __init__(self, words: str, is_problem: bool) -> None:
        self.words = words
        self.is_problem = is_problem


@dataclass
class SplitCheck(SplitStatistics):
    """What one split holds, and what may be wrong with it.

    Args:
        odd_edges (`Counter[int]`): How many entities begin or end with whitespace or punctuation, or cut a word, if 0,
            1 or -1 is added to every end.
        first_places (`dict[str, str]`): Where the first entity of each label is.
        findings (`defaultdict[Issue, list[str]]`): Messages of what may be wrong, by issue.
    """

    first_places: dict[str, str] = field(default_factory=dict)
    odd_edges: Counter[int] = field(default_factory=Counter)
    findings: defaultdict[Issue, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def num_problems(self) -> int:
        """Findings that are certainly wrong."""
        return sum(len(found) for issue, found in self.findings.items() if issue.is_problem)

    def to_dict(self) -> dict[str, object]:
        """The statistics and all findings, in the types of JSON."""
        findings = [
            {"kind": issue.name.lower(), "is_problem": issue.is_problem, "count": len(found), "messages": found}
            for issue, found in self.findings.items()
        ]
        return {**super().to_dict(), "findings": findings}


def check_splits(
    splits: Mapping[str, Iterable[Example]], tokenizer: "PreTrainedTokenizerBase | None" = None
) -> dict[str, SplitCheck]:
    """Count what each split holds and look for mistakes, reading every example once.

    Texts are the same if they differ in whitespace only; one that occurs in two other splits is found in both. Of each
    text, digests of it and of its entities are remembered, and what was found; no more. A split without any entity is
    taken as unlabeled.

    Args:
        splits (`Mapping[str, Iterable[Example]]`): The examples of each split by its name, the training data first.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): A fast tokenizer, for lengths in tokens and alignment.

    Returns:
        `dict[str, SplitCheck]`: What was found in each split.
    """
    checks = {name: SplitCheck() for name in splits}
    texts = _SeenTexts()
    for name, examples in splits.items():
        check = checks[name]
        for batch in _batches(examples):
            for example in batch:
                check.add(example)
                _check_entities(example, check)
                texts.check(name, example, check)
            if tokenizer is not None:
                _check_tokens(batch, tokenizer, check)
        _check_ends(name, check)
    texts.add_conflicts(checks)
    _check_labels(checks)
    return checks


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    iterator = iter(examples)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _check_entities(example: Example, check: SplitCheck) -> None:
    """Look for ends that are probably off by one, and for entities that are given twice."""
    text = example.text
    if not text.strip():
        check.findings[Issue.EMPTY_TEXT].append(example.name)
    if not example.entities:
        return
    boundaries = word_boundaries(text)
    for entity, times in sorted(Counter(example.entities).items()):
        check.first_places.setdefault(entity.label, example.name)
        issue = _odd_edge(text, boundaries, entity.start, entity.end)
        if issue is not None:
            check.findings[issue].append(_describe(example, entity))
        if times > 1:
            check.findings[Issue.REPEATED].append(_describe(example, entity))
        for shift in (0, 1, -1):
            end = entity.end + shift
            is_span = entity.start < end <= len(text)
            check.odd_edges[shift] += not is_span or _odd_edge(text, boundaries, entity.start, end) is not None


def _odd_edge(text: str, boundaries: NDArray[np.bool_], start: int, end: int) -> Issue | None:
    """What is odd about where an entity begins or ends."""
    words = text[start:end]
    if words != words.strip():
        return Issue.BLANK_EDGE
    if _is_loose(words[0], words) or _is_loose(words[-1], words):
        return Issue.PUNCTUATION_EDGE
    return None if boundaries[[start, end]].all() else Issue.CUT_WORD


def _check_ends(name: str, check: SplitCheck) -> None:
    """Look for ends that are all off by one: if they are moved, most of what is odd is so no more."""
    odd, total = check.odd_edges[0], check.entities.total()
    if odd < _SHIFTED or odd <= _SHIFTED_SHARE * total:
        return
    for shift, what in ((1, "inclusive; add 1 to"), (-1, "one too high; take 1 from")):
        if 2 * check.odd_edges[shift] < odd:
            check.findings[Issue.SHIFTED_ENDS].append(
                f"{odd} of {total} entities of {name} have an odd edge, but {check.odd_edges[shift]} if the ends were "
                f"{shift:+d}: ends look {what} each."
            )


def _is_loose(edge: str, words: str) -> bool:
    """Whether a character at the edge of an entity is punctuation that belongs to nothing in it."""
    if not unicodedata.category(edge).startswith("P") or edge in _ALLOWED_EDGES:
        return False
    if edge in _BRACKETS:
        return words.count(edge) > words.count(_BRACKETS[edge])
    if edge in _BRACKETS.values():
        return words.count(edge) > sum(words.count(close) for close, open in _BRACKETS.items() if open == edge)
    if edge in "\"'`":
        return words.count(edge) % 2 == 1
    # As in "U.S." and "Corp.": another dot, or a last word that may be an abbreviation.
    return edge != "." or (words.count(".") == 1 and len(words.split()[-1]) > _ABBREVIATION)


def _describe(example: Example, entity: Entity) -> str:
    """The entity in brackets, with a few characters around it."""
    before, after = example.text[max(entity.start - 12, 0) : entity.start], example.text[entity.end : entity.end + 12]
    around = f"{before}[{example.text[entity.start : entity.end]}]{after}"
    return f"{example.name}: {around!r} ({entity.label}, {entity.start}-{entity.end})"


class _Seen(NamedTuple):
    """The first of the same texts in a split: its name, and a digest of its entities."""

    split: str
    name: str
    entities: bytes


class _SeenTexts:
    """Finds texts that were seen before."""

    def __init__(self) -> None:
        self._seen: dict[bytes, list[_Seen]] = {}
        self._conflicts: list[tuple[str, str, str]] = []

    def check(self, split: str, example: Example, check: SplitCheck) -> None:
        """Compare a text with those seen before, and remember it."""
        letters = "".join(example.text.split())
        if not letters:
            return
        this = _Seen(split, example.name, _digest(_entities_without_whitespace(example)))
        seen = self._seen.setdefault(_digest(letters), [])
        for other in seen:
            issue = Issue.DUPLICATE if other.split == split else Issue.LEAK
            where = "" if other.split == split else f" of {other.split}"
            check.findings[issue].append(f"{example.name}: the text of {other.name}{where}")
            if other.entities != this.entities:
                self._conflicts.append((split, other.split, f"{example.name}: other entities than {other.name}"))
        if all(other.split != split for other in seen):
            seen.append(this)

    def add_conflicts(self, checks: Mapping[str, SplitCheck]) -> None:
        """Count the texts whose entities differ, once it is known which splits are labeled."""
        for split, other, message in self._conflicts:
            if checks[split].entities and checks[other].entities:
                checks[split].findings[Issue.CONFLICT].append(message)


def _entities_without_whitespace(example: Example) -> str:
    """The entities, with starts and ends counted in characters that are no whitespace."""
    if not example.entities:
        return ""
    before = list(accumulate((not character.isspace() for character in example.text), initial=0))
    return repr(sorted({(before[entity.start], before[entity.end], entity.label) for entity in example.entities}))


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _check_tokens(examples: list[Example], tokenizer: "PreTrainedTokenizerBase", check: SplitCheck) -> None:
    """Count lengths in tokens, and the entities that no tokens spell."""
    label2id = {label: index for index, label in enumerate(check.entities)}
    # It takes a second to import, and is needed only with a tokenizer.
    from .alignment import encode_examples

    features, report = encode_examples(examples, tokenizer, label2id, _NO_WINDOWS)
    check.add_tokens(features)
    check.unaligned += len(report.unaligned)
    for item in report.unaligned:
        check.findings[Issue.UNALIGNED].append(str(item))


def _check_labels(checks: Mapping[str, SplitCheck]) -> None:
    """Look for labels that are probably mistyped, and compare those of each split with those of the first."""
    totals = sum((check.entities for check in checks.values()), Counter[str]())
    for issue, label, other in _mistyped(totals):
        for check in checks.values():
            if label in check.entities:
                check.findings[issue].append(
                    f"{check.first_places[label]}: label {label!r} ({totals[label]} in all) may be {other!r} "
                    f"({totals[other]} in all)"
                )
    (train_name, train), *others = checks.items()
    for label, count in sorted(train.entities.items()):
        if count < _FEW:
            train.findings[Issue.FEW_ENTITIES].append(
                f"{train.first_places[label]}: label {label!r} ({count} in {train_name}): fewer than {_FEW}"
            )
    for name, check in others:
        _compare_labels(train_name, train, name, check)


def _compare_labels(train_name: str, train: SplitCheck, name: str, check: SplitCheck) -> None:
    """Look for labels that only one of two splits has."""
    for label in sorted(check.entities.keys() - train.entities.keys()):
        check.findings[Issue.UNKNOWN_LABEL].append(
            f"{check.first_places[label]}: label {label!r} ({check.entities[label]} in {name}) is not in "
            f"{train_name}; correct it, or train with examples of it"
        )
    # A split without entities is unlabeled.
    for label in sorted(train.entities.keys() - check.entities.keys() if check.entities else ()):
        check.findings[Issue.ABSENT_LABEL].append(
            f"label {label!r} ({train.entities[label]} in {train_name}) is not in {name}"
        )


def _mistyped(totals: Mapping[str, int]) -> Iterator[tuple[Issue, str, str]]:
    """Each label that is probably a mistyped other one, or may be, with that: the most frequent one."""
    by_frequency = sorted(totals, key=lambda label: (-totals[label], label))
    for index, label in enumerate(by_frequency):
        issues = {other: _issue_of_pair(label, other, totals) for other in by_frequency[:index]}
        for issue in (Issue.LABEL_TYPO, Issue.NEAR_LABEL):
            if issue in issues.values():
                yield issue, label, next(other for other, found in issues.items() if found is issue)
                break


def _issue_of_pair(label: str, other: str, totals: Mapping[str, int]) -> Issue | None:
    """What is to be said of a label beside one that is not rarer."""
    if _letters(label) == _letters(other):
        return Issue.LABEL_TYPO
    times = totals[other] / totals[label]
    if times < _LESS_RARE or not _is_near(label, other):
        return None
    return Issue.LABEL_TYPO if times >= _RARE else Issue.NEAR_LABEL


def _letters(label: str) -> str:
    """What two spellings of one label have in common."""
    return _SEPARATORS.sub("", label.casefold()) or label


def _is_near(a: str, b: str) -> bool:
    """Whether two labels differ in one character, or in two where they are long; numbers are never mistyped.

    Short ones are near only if one is the other with a letter more at its end, or has the same letters.
    """
    if _DIGITS.sub("", a) == _DIGITS.sub("", b):
        return False
    short, long = sorted((a, b), key=len)
    if len(short) < _NEAR_LENGTH:
        return sorted(short) == sorted(long) or (long[:-1] == short and long[-1].isalpha())
    # Of two neighbors that are swapped, one is in its place.
    matched = sum(block.size for block in SequenceMatcher(None, short, long, autojunk=False).get_matching_blocks())
    return len(long) - matched <= (2 if len(short) >= 8 else 1)
