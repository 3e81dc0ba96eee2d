"""CoNLL columns: a token a line with its tags, a blank line after each sentence; columns of tags are layers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..report import OnProblem
from ..schema import DataError, Example
from .lines import numbered_lines
from .tags import (
    OUTSIDE,
    Scheme,
    SchemeEvidence,
    join_tokens,
    parse_tag,
    parse_tags,
    tagged_spans,
    token_entity,
)


# What CoNLL-2000 and CoNLL-2003 call phrases: a column of these beside another column of tags holds no entities.
_CHUNKS = {"NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP"}

_MOST_COLUMNS = 1000

_Row = tuple[int, list[str]]


@dataclass(frozen=True)
class _Layout:
    """Which column holds what."""

    token: int
    layers: dict[int, Scheme]


def read_conll(path: Path, labelled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield each sentence; its text is the tokens as [`join_tokens`] joins them.

    Tokens are the first column, and every other column in which most values are tags is a layer of entities, except
    the phrases (NP, VP, ...) of CoNLL-2003; or tags are the first column and tokens the last. Columns are parted by
    tabs, if the first line has one, or else by blanks. A first pass over the file finds the columns and the tagging
    scheme of each. `-DOCSTART-` parts sentences, as a blank line does; a line such as "# id = 1" before a sentence is
    passed over.

    Tags against the scheme are problems, and read as `tagged_spans` says.

    Raises:
        DataError: If the file is not regular (it is read twice), a line has another number of columns, there is no
            column of tags, or one of its values is no tag.
    """
    if not path.is_file():
        raise DataError(f"{path}: columns are read twice, to find their scheme first; save them to a file.")
    layout = _find_layout(path)
    for rows in _sentences(path):
        yield _example(path, rows, layout, on_problem)


def _sentences(path: Path) -> Iterator[list[_Row]]:
    """The rows of each sentence, with their line numbers."""
    rows: list[_Row] = []
    tabs = False
    width = 0
    for number, line in numbered_lines(path):
        values = line.split("\t") if tabs or (not width and "\t" in line) else [v for v in line.split(" ") if v]
        boundary = not line.strip(" \t") or (values[0] == "-DOCSTART-" and parse_tag(values[-1]) in (None, OUTSIDE))
        if boundary:
            if rows:
                yield rows
            rows = []
            continue
        if not rows and line.startswith("# ") and "=" in line and parse_tag(values[-1]) is None:
            continue
        if not width:
            width, tabs = len(values), "\t" in line
            if width > _MOST_COLUMNS:
                raise DataError(f"{path}:{number}: {width} columns; if this is another format, name it.")
        if len(values) != width or not all(values):
            raise DataError(
                f"{path}:{number}: {len([v for v in values if v])} columns, but the first line has {width}, parted by "
                f"{'tabs' if tabs else 'blanks'}; every line must have the same, and a blank line must part sentences."
            )
        rows.append((number, values))
    if rows:
        yield rows


def _find_layout(path: Path) -> _Layout:
    num_tags: Counter[int] = Counter()
    labels: dict[int, set[str]] = {}
    evidence: dict[int, SchemeEvidence] = {}
    num_rows = width = 0
    for rows in _sentences(path):
        num_rows += len(rows)
        for column, values in enumerate(zip(*(values for _, values in rows), strict=True)):
            width = max(width, column + 1)
            tags = [parse_tag(value) for value in values]
            num_tags[column] += sum(tag is not None for tag in tags)
            # More labels than phrases have are enough to know.
            known = labels.setdefault(column, set())
            if len(known) <= len(_CHUNKS):
                known.update(tag.label for tag in tags if tag is not None and tag.label)
            evidence.setdefault(column, SchemeEvidence()).add(tag or OUTSIDE for tag in tags)
    if not num_rows:
        return _Layout(0, {})
    tagged = [column for column in range(width) if 2 * num_tags[column] > num_rows]
    last = width - 1
    if last and last in tagged:
        token = 0
        layers = [c for c in tagged if c == last or (c and not (labels[c] and labels[c] <= _CHUNKS))]
    elif last and 0 in tagged:
        token, layers = last, [0]
    else:
        raise DataError(
            f"{path}: neither the last nor the first of {width} columns holds tags, which are O and B-label, I-label "
            "and so on; if this is another format, name it."
        )
    return _Layout(token, {column: evidence[column].scheme for column in layers})


def _example(path: Path, rows: list[_Row], layout: _Layout, on_problem: OnProblem) -> Example:
    numbers = [number for number, _ in rows]
    tokens = [values[layout.token] for _, values in rows]
    text, starts = join_tokens(tokens)
    entities = []
    for column, scheme in layout.layers.items():
        tags = []
        for number, values in rows:
            try:
                tags += parse_tags([values[column]])
            except DataError as error:
                raise DataError(f"{path}:{number}: column {column + 1}: {error}") from error
        for first, end, label in tagged_spans(
            tags, scheme, lambda at, what: on_problem(f"{path}:{numbers[at]}: {what}")
        ):
            entities.append(token_entity(tokens, starts, first, end, label))
    return Example(text, tuple(entities), source=f"{path}:{numbers[0]}")
