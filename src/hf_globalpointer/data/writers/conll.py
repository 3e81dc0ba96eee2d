"""CoNLL columns: a token and its IOB2 tag, parted by a tab; a blank line after each sentence."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..readers.tags import join_tokens, split_tokens
from ..report import OnProblem
from ..schema import DataError, Entity, Example


def write_conll(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write a token a line, without ids; tokens are what blanks part or, in Chinese without blanks, characters.

    Problems: a text whose blanks are not where the reader will put them loses its own.

    Raises:
        DataError: If an example has no tokens, or one that columns cannot hold, entities that overlap, or an entity
            that begins or ends inside a token; nothing is left out in its place.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            tokens = split_tokens(example.text)
            _check_tokens(tokens, example.name)
            if example.text != join_tokens(tokens)[0]:
                on_problem(f"{example.name}: columns do not keep the blanks of the text.")
            tags = _iob2(example, tokens)
            file.writelines(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
            file.write("\n")


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


def _iob2(example: Example, tokens: Sequence[str]) -> list[str]:
    """The tag of each token."""
    first_at, last_at = {}, {}
    at = 0
    for index, token in enumerate(tokens):
        at = example.text.index(token, at)
        first_at[at] = index
        at += len(token)
        last_at[at] = index
    tags = ["O"] * len(tokens)
    owner: dict[int, Entity] = {}
    for entity in sorted(set(example.entities)):
        if entity.start not in first_at or entity.end not in last_at:
            raise DataError(
                f"{example.name}: {_described(example, entity)} begins or ends inside a word or at a blank; columns "
                "of words cannot hold it. Write JSON Lines or brat."
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
