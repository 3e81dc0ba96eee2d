"""CoNLL columns: a token and its IOB2 tag, parted by a tab; a blank line after each sentence."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from ...modeling.scripts import needs_no_blanks
from ..readers.tags import join_tokens
from ..report import OnProblem
from ..schema import DataError, Entity, Example


_Span = tuple[int, int]
_BETWEEN_BLANKS = re.compile(r"\S+")


def write_conll(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write a token a line, without ids.

    Tokens are what blanks part or, in Chinese without blanks, characters. If an entity begins or ends inside one of
    them, those of the example are words, punctuation signs and so on, cut also where entities begin and end.

    Problems: a text whose blanks are not where the reader will put them loses its own.

    Raises:
        DataError: If an example has no tokens, or one that columns cannot hold, entities that overlap, or an entity
            that begins or ends with a blank; nothing is left out in its place.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            spans = _token_spans(example)
            tokens = [example.text[start:end] for start, end in spans]
            _check_tokens(tokens, example.name)
            if example.text != join_tokens(tokens)[0]:
                on_problem(f"{example.name}: columns do not keep the blanks of the text.")
            tags = _iob2(example, spans)
            file.writelines(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
            file.write("\n")


def _token_spans(example: Example) -> list[_Span]:
    """Start and end of each token."""
    text = example.text
    spans = [found.span() for found in _BETWEEN_BLANKS.finditer(text)]
    if spans == [(0, len(text))] and any(map(needs_no_blanks, text)):
        return [(at, at + 1) for at in range(len(text))]
    starts, ends = ({span[side] for span in spans} for side in (0, 1))
    if all(entity.start in starts and entity.end in ends for entity in example.entities):
        return spans
    from ...modeling.characters import word_boundaries

    boundaries = word_boundaries(text)
    boundaries[[edge for entity in example.entities for edge in (entity.start, entity.end)]] = True
    return [
        piece
        for start, end in spans
        for piece in pairwise([start, *(at for at in range(start + 1, end) if boundaries[at]), end])
    ]


def _check_tokens(tokens: Sequence[str], name: str) -> None:
    if not tokens:
        raise DataError(f"{name}: the text is blank, and columns hold no text without tokens; leave the example out.")
    for token in tokens:
        if token == "-DOCSTART-" or token.startswith("\ufeff"):
            raise DataError(f"{name}: columns cannot hold the token {token!r}; write JSON Lines.")
        _check_encodable(token, name)


def _check_encodable(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: {text[:40]!r} holds half of a surrogate pair; write JSON Lines.") from error


def _iob2(example: Example, spans: Sequence[_Span]) -> list[str]:
    """The tag of each token."""
    first_at = {start: index for index, (start, _) in enumerate(spans)}
    last_at = {end: index for index, (_, end) in enumerate(spans)}
    tags = ["O"] * len(spans)
    owner: dict[int, Entity] = {}
    for entity in sorted(set(example.entities)):
        if entity.label != entity.label.strip():
            raise DataError(f"{example.name}: columns cannot hold the label {entity.label!r}; take its blanks away.")
        if entity.start not in first_at or entity.end not in last_at:
            raise DataError(
                f"{example.name}: {_described(example, entity)} begins or ends with a blank; columns of words cannot "
                "hold it. Write JSON Lines or brat."
            )
        first, last = first_at[entity.start], last_at[entity.end]
        for index in range(first, last + 1):
            if index in owner:
                raise DataError(
                    f"{example.name}: {_described(example, owner[index])} and {_described(example, entity)} overlap; "
                    "one column of tags cannot hold both. Write JSON Lines or brat."
                )
            owner[index] = entity
            tags[index] = f"{'B' if index == first else 'I'}-{entity.label}"
    return tags


def _described(example: Example, entity: Entity) -> str:
    text = example.text[entity.start : entity.end]
    return f"{text[:40]!r} ({entity.label}, {entity.start}-{entity.end})"
