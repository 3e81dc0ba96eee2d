"""Tags of tokens to entities: IOB1, IOB2, and the schemes that mark the last token (BIOES, BILOU, BMES)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ...modeling.scripts import is_unspaced
from ..examples import DataError, Entity


class Tag(NamedTuple):
    """What a token is in an entity, and the entity's label; outside, ("O", "")."""

    letter: str  # O, B, I, E (last) or S (single)
    label: str


class Scheme(Enum):
    """What the letters mean."""

    IOB1 = "IOB1"  # B- only where an entity directly follows another of its label
    IOB2 = "IOB2"  # B- begins every entity
    BIOES = "BIOES"  # and E- ends it, or S- is all of it; BILOU and BMES in other letters


OUTSIDE = Tag("O", "")
# BIOES, and what BILOU (L, U), BMES (M) and BMEWO (M, W) have in their place.
_LETTERS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}


def parse_tag(text: str) -> Tag | None:
    """The tag that is written "O" or "B-label", whitespace around it aside; none if the text is no tag."""
    text = text.strip(" ")
    if text == "O":
        return OUTSIDE
    letter, dash, label = text.partition("-")
    if letter in _LETTERS and dash and label.strip() and label.isprintable():
        return Tag(_LETTERS[letter], label.strip(" "))
    return None


def parse_tags(texts: Iterable[str]) -> list[Tag]:
    """The tags of these texts.

    Raises:
        DataError: At the first text that is no tag.
    """
    tags = []
    for text in texts:
        tag = parse_tag(text)
        if tag is None:
            raise DataError(f"{text[:60]!r} is no tag; tags are O and B-label, I-label and so on.")
        tags.append(tag)
    return tags


@dataclass
class SchemeEvidence:
    """What the tags of a file, added sentence by sentence, say about its scheme."""

    _letters: set[str] = field(default_factory=set)
    _inside_begins: bool = False
    _begin_elsewhere: bool = False

    def add(self, tags: Iterable[Tag]) -> None:
        """Take in the tags of a sentence."""
        before = OUTSIDE
        for tag in tags:
            self._letters.add(tag.letter)
            if tag.letter == "I" and tag.label != before.label:
                self._inside_begins = True
            if tag.letter == "B" and tag.label != before.label:
                self._begin_elsewhere = True
            before = tag

    @property
    def scheme(self) -> Scheme:
        """The scheme: IOB1 only if an entity begins with I- and no tag B- contradicts it."""
        if self._letters & {"E", "S"}:
            return Scheme.BIOES
        return Scheme.IOB1 if self._inside_begins and not self._begin_elsewhere else Scheme.IOB2


def tagged_spans(
    tags: Sequence[Tag], scheme: Scheme, on_problem: Callable[[int, str], None]
) -> list[tuple[int, int, str]]:
    """The entities that tags spell, each token of an entity in exactly one of them.

    Tags against the scheme lose no token: I- or E- that continues no entity of its label begins one, and an entity
    that is not closed ends where its tags do.

    Args:
        tags (`Sequence[Tag]`): The tags of a sentence.
        scheme (`Scheme`): The scheme.
        on_problem (`Callable[[int, str], None]`): Takes the index of a tag against the scheme, and what is wrong.

    Returns:
        Rows (start token, end token, label), both tokens inclusive.
    """
    spans = []
    start_token: int | None = None  # of the entity that is open
    label = ""
    for index, tag in enumerate([*tags, OUTSIDE]):
        continues = start_token is not None and tag.letter in "IE" and tag.label == label
        if start_token is not None and not continues:
            if scheme is Scheme.BIOES:
                on_problem(index - 1, f"the {label} entity has no last tag; it is read as ending here.")
            spans.append((start_token, index - 1, label))
            start_token = None
        if tag.letter in "BIES" and not continues:
            if tag.letter == "E" or (tag.letter == "I" and scheme is not Scheme.IOB1):
                on_problem(
                    index, f"{tag.letter}-{tag.label} continues no {tag.label} entity; it is read as beginning one."
                )
            start_token, label = index, tag.label
        if tag.letter in "ES" and start_token is not None:
            spans.append((start_token, index, label))
            start_token = None
    return spans


def split_columns(line: str, tabs: bool) -> list[str]:
    """The values of a line that are separated by tabs, or else by whitespace."""
    return line.split("\t") if tabs else [value for value in line.split(" ") if value]


def is_comment(values: list[str]) -> bool:
    """Whether a line before a sentence is a comment, such as "# id = 1": `#`, whitespace, and no tag at the end."""
    return values[0][:2].strip() == "#" and values[-1] != "_" and parse_tag(values[-1]) is None


def is_document_start(values: list[str]) -> bool:
    """Whether a line begins a document, as in CoNLL-2003."""
    return values[0] == "-DOCSTART-" and parse_tag(values[-1]) in (None, OUTSIDE)


def join_tokens(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """The text of tokens, separated by a space, and where each begins.

    Tokens of a single character each, of which any is of a script without spaces, as in Chinese data, are separated by
    nothing.

    Raises:
        DataError: If a token is no text.
    """
    for index, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise DataError(f"tokens[{index}] is {token!r}; a token must be a string, and not empty.")
    separator = "" if all(len(token) == 1 for token in tokens) and any(map(is_unspaced, tokens)) else " "
    starts, length = [], 0
    for token in tokens:
        starts.append(length)
        length += len(token) + len(separator)
    return separator.join(tokens), starts


def token_entity(tokens: Sequence[str], starts: Sequence[int], start_token: int, end_token: int, label: str) -> Entity:
    """The entity of the tokens `start_token` to `end_token`, inclusive, in the text that `join_tokens` makes."""
    return Entity(starts[start_token], starts[end_token] + len(tokens[end_token]), label)
