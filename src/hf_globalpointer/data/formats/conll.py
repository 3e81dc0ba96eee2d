"""CoNLL columns: a token a line with its tags, a blank line after each sentence; columns of tags are layers."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ...modeling.scripts import is_unspaced
from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .detection import NAMING
from .fields import located
from .lines import numbered_lines
from .tags import (
    OUTSIDE,
    Scheme,
    SchemeEvidence,
    Tag,
    is_comment,
    is_document_start,
    join_tokens,
    parse_tag,
    parse_tags,
    split_columns,
    tagged_spans,
    token_entity,
)


# What CoNLL-2000 and CoNLL-2003 call phrases, and TreeTagger, as in the German CoNLL-2003, calls chunks: a column of
# these beside another column of tags holds no entities.
_CHUNKS = {"NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP"}
_CHUNKS |= {"NC", "VC", "PC", "ADVC", "ADJC", "CONJC"}

_MOST_COLUMNS = 1000
# A column of so few values that are no tags, and of tags, was meant as tags; one of words or lemmas has more.
_FEW = 2
# What layers of some nested data have in place of O.
_NOTHING = "_"

# A file of more rows than these, without any blank line, has hardly one sentence.
_MOST_ROWS = 1000

_Row = tuple[int, list[str]]


@dataclass(frozen=True)
class _Layout:
    """Which column holds what.

    Args:
        token (`int`): The column of tokens.
        layers (`dict[int, Scheme]`): The scheme of each column of tags.
        unread (`dict[int, str]`): Columns that are not read though they hold tags, each with a value that is none.
        num_sentences (`int`): How many sentences there are.
        num_rows (`int`): How many rows these have.
    """

    token: int
    layers: dict[int, Scheme]
    unread: dict[int, str]
    num_sentences: int
    num_rows: int


@dataclass
class _Column:
    """What the first pass learns of a column."""

    num_tags: int = 0
    num_nothing: int = 0
    labels: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    evidence: SchemeEvidence = field(default_factory=SchemeEvidence)
    counts_from: set[int] = field(default_factory=lambda: {0, 1})

    def add(self, values: Sequence[str]) -> None:
        """Take in the values of a sentence."""
        tags = [_tag(value) for value in values]
        nothing = values.count(_NOTHING)
        self.num_nothing += nothing
        self.num_tags += sum(tag is not None for tag in tags) - nothing
        # More labels than phrases have, and more than a few other values, are enough to know.
        if len(self.labels) <= len(_CHUNKS):
            self.labels.update(tag.label for tag in tags if tag is not None and tag.label)
        if len(self.others) <= _FEW:
            self.others.update(value for value, tag in zip(values, tags, strict=True) if tag is None)
        self.evidence.add(tag or OUTSIDE for tag in tags)
        self.counts_from = {
            start
            for start in self.counts_from
            if all(value == str(number) for number, value in enumerate(values, start=start))
        }

    def is_tagged(self, num_rows: int) -> bool:
        """Whether most of its values are tags."""
        return self.num_tags > 0 and 2 * (self.num_tags + self.num_nothing) > num_rows

    @property
    def is_chunks(self) -> bool:
        """Whether its tags are those of phrases."""
        return bool(self.labels) and self.labels <= _CHUNKS

    @property
    def is_nearly_tagged(self) -> bool:
        """Whether it was meant as tags, with something else where no entity is."""
        return bool(self.labels) and not self.is_chunks and 0 < len(self.others) <= _FEW


def read_conll(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield each sentence; its text is the tokens as [`join_tokens`] joins them.

    Tokens are the first column, or the second if the first numbers them, and every other column in which most values
    are tags is a layer of entities, except the phrases (NP, VP, ...) of CoNLL-2003; or tags come first and tokens are
    the last column. A `_` in a layer is outside. Columns are separated by tabs, if the first line has one, or else by
    whitespace. A first pass over the file finds the columns and the tagging scheme of each. `-DOCSTART-` separates
    sentences, as a blank line does; comments before a sentence, which begin with `#` and a space, are skipped.

    Problems: tags against the scheme, which are read as `tagged_spans` says; a column that holds tags among other
    values, so that it is no layer; more than 1,000 lines of labeled data without a blank one, which are read
    as one text.

    Raises:
        DataError: If the file is not regular (it is read twice), a line has another number of columns, there is no
            column of tags, or one of its values is no tag.
    """
    if not path.is_file():
        raise DataError(f"{path}: columns are read twice, to find their scheme first; save them to a file.")
    layout = _find_layout(path)
    for column, value in layout.unread.items():
        on_problem(
            f"{path}: column {column + 1} holds tags, but also {value[:40]!r}, so it is not read; write O where no "
            "entity is."
        )
    if labeled and layout.num_sentences == 1 and layout.num_rows > _MOST_ROWS:
        on_problem(
            f"{path}: no blank line in {layout.num_rows} lines, so they are read as one text; put one after each "
            "sentence."
        )
    for rows in _sentences(path):
        yield _example(path, rows, layout, on_problem)


def _sentences(path: Path) -> Iterator[list[_Row]]:
    """The rows of each sentence, with their line numbers."""
    width, tabs = _first_row(path)
    rows: list[_Row] = []
    for number, line in _lines(path):
        values = split_columns(line, tabs)
        if _ends_sentence(line):
            if rows:
                yield rows
            rows = []
        elif rows or not is_comment(values):
            if len(values) == width and not all(values):
                raise DataError(f"{path}:{number}: column {values.index('') + 1} is empty; fill it, or take it out.")
            if len(values) != width:
                raise DataError(
                    f"{path}:{number}: columns: {len(values)}, but the first line has {width}, separated "
                    f"by {'tabs' if tabs else 'whitespace'}; every line must have as many; a blank line ends a "
                    "sentence."
                )
            rows.append((number, values))
    if rows:
        yield rows


def _first_row(path: Path) -> tuple[int, bool]:
    """How many columns the first row has, and whether tabs separate them."""
    for number, line in _lines(path):
        tabs = "\t" in line
        values = split_columns(line, tabs)
        if not _ends_sentence(line) and not is_comment(values):
            if len(values) > _MOST_COLUMNS:
                raise DataError(
                    f"{path}:{number}: columns: {len(values)}; if this is another format, name it {NAMING}."
                )
            return len(values), tabs
    return 0, False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in numbered_lines(path):
        if "\r" in line:
            raise DataError(f"{path}:{number}: a carriage return inside the line; end lines with a line feed (LF).")
        yield number, line


def _ends_sentence(line: str) -> bool:
    return not line.strip(" \t") or is_document_start(split_columns(line, "\t" in line))


def _find_layout(path: Path) -> _Layout:
    columns: list[_Column] = []
    num_sentences, num_rows = 0, 0
    for rows in _sentences(path):
        columns = columns or [_Column() for _ in rows[0][1]]
        num_sentences += 1
        num_rows += len(rows)
        for column, values in zip(columns, zip(*(values for _, values in rows), strict=True), strict=True):
            column.add(values)
    if not num_rows:
        return _Layout(0, {}, {}, 0, 0)
    tagged = [index for index, column in enumerate(columns) if column.is_tagged(num_rows)]
    # Columns of nothing may follow.
    last = max((index for index, column in enumerate(columns) if column.num_nothing < num_rows), default=0)
    if last and last in tagged:
        is_numbered = bool(columns[0].counts_from) and last > 1 and 1 not in tagged
        token, outermost = int(is_numbered), last
    elif last and 0 in tagged:
        token, outermost = last, 0
    else:
        raise DataError(
            f"{path}: neither the last nor the first of {len(columns)} columns holds a tag (O, B-label, I-label and "
            f"so on) in every line; add those that lack, or, if this is another format, name it {NAMING}."
        )
    layers = [i for i in tagged if i != token and (i == outermost or not columns[i].is_chunks)]
    unread = {
        index: min(column.others)
        for index, column in enumerate(columns)
        if index not in (token, *layers) and column.is_nearly_tagged
    }
    schemes = {index: columns[index].evidence.scheme for index in layers}
    return _Layout(token, schemes, unread, num_sentences, num_rows)


def _tag(value: str) -> Tag | None:
    return OUTSIDE if value == _NOTHING else parse_tag(value)


def _example(path: Path, rows: list[_Row], layout: _Layout, on_problem: OnProblem) -> Example:
    places = [f"{path}:{number}" for number, _ in rows]
    tokens = [values[layout.token] for _, values in rows]
    text, starts = join_tokens(tokens)
    entities = []
    for column, scheme in layout.layers.items():
        tags = []
        for place, (_, values) in zip(places, rows, strict=True):
            with located(f"{place}: column {column + 1}"):
                tags += [OUTSIDE] if values[column] == _NOTHING else parse_tags([values[column]])
        spans = tagged_spans(tags, scheme, lambda index, what: on_problem(f"{places[index]}: {what}"))
        entities += [token_entity(tokens, starts, *span) for span in spans]
    return Example(text, tuple(entities), source=places[0])


_Span = tuple[int, int]
_NO_WHITESPACE = re.compile(r"\S+")


def write_conll(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write a token a line, without ids.

    Tokens are what whitespace separates or, in Chinese without spaces, characters. If an entity begins or ends inside
    one of them, those of the example are words, punctuation signs and so on, cut also where entities begin and end.

    Problems: a text whose whitespace is not what the reader will put there loses its own.

    Raises:
        DataError: If an example has no tokens, or one that columns cannot hold, entities that overlap, or an entity
            that begins or ends with whitespace; nothing is left out in its place.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            spans = _token_spans(example)
            tokens = [example.text[start:end] for start, end in spans]
            _check_tokens(tokens, example.name)
            if example.text != join_tokens(tokens)[0]:
                on_problem(f"{example.name}: columns do not keep the whitespace of the text.")
            tags = _iob2(example, spans)
            file.writelines(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
            file.write("\n")


def _token_spans(example: Example) -> list[_Span]:
    """Start and end of each token."""
    text = example.text
    spans = [found.span() for found in _NO_WHITESPACE.finditer(text)]
    if spans == [(0, len(text))] and any(map(is_unspaced, text)):
        return [(at, at + 1) for at in range(len(text))]
    starts, ends = {start for start, _ in spans}, {end for _, end in spans}
    if all(entity.start in starts and entity.end in ends for entity in example.entities):
        return spans
    from ...modeling.words import word_boundaries

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
        try:
            token.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{name}: {token[:40]!r} holds half of a surrogate pair; write JSON Lines.") from error


def _iob2(example: Example, spans: Sequence[_Span]) -> list[str]:
    """The tag of each token."""
    start_tokens = {start: index for index, (start, _) in enumerate(spans)}
    end_tokens = {end: index for index, (_, end) in enumerate(spans)}
    tags = ["O"] * len(spans)
    owner: dict[int, Entity] = {}
    for entity in sorted(set(example.entities)):
        if entity.label != entity.label.strip():
            raise DataError(f"{example.name}: columns cannot hold the label {entity.label!r}; strip its whitespace.")
        if entity.start not in start_tokens or entity.end not in end_tokens:
            raise DataError(
                f"{example.name}: {_described(example, entity)} begins or ends with whitespace, which columns of "
                "words cannot hold. Write JSON Lines or brat."
            )
        start_token = start_tokens[entity.start]
        for index in range(start_token, end_tokens[entity.end] + 1):
            if index in owner:
                raise DataError(
                    f"{example.name}: {_described(example, owner[index])} and {_described(example, entity)} overlap; "
                    "one column of tags cannot hold both. Write JSON Lines or brat."
                )
            owner[index] = entity
            tags[index] = f"{'B' if index == start_token else 'I'}-{entity.label}"
    return tags


def _described(example: Example, entity: Entity) -> str:
    text = example.text[entity.start : entity.end]
    return f"{text[:40]!r} ({entity.label}, {entity.start}-{entity.end})"
