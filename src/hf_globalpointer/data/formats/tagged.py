"""Tokens and their tags, as data sets of the Hub have them: `{"tokens", "ner_tags": ["B-label", "I-label", "O"]}`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Example
from .fields import located, optional_id, preview, require_field
from .records import json_records, parsed_records
from .tags import Scheme, SchemeEvidence, Tag, join_tokens, parse_tags, tagged_spans, token_entity


def read_tagged(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record; its text is the tokens as [`join_tokens`] joins them.

    A first pass over the file finds the tagging scheme. Where examples need not be labeled, tags are not read.

    Problems: tags against the scheme, which are read as `tagged_spans` says.

    Raises:
        DataError: If the file is not regular (it is read twice), a field is missing or of another kind, there are not
            as many tags as tokens, or a tag is none; numbers are none, for their names are not in the file.
    """
    if not labeled:
        yield from parsed_records(path, _untagged_example)
        return
    if not path.is_file():
        raise DataError(f"{path}: tags are read twice, to find their scheme first; save them to a file.")
    scheme = find_scheme(json_records(path))
    for source, record in json_records(path):
        yield tagged_example(record, source, scheme, on_problem)


def find_scheme(records: Iterable[tuple[str, dict[str, Any]]]) -> Scheme:
    """The scheme of the tags of all records, each given with its place.

    Raises:
        DataError: If a record has no list of tags.
    """
    evidence = SchemeEvidence()
    for source, record in records:
        with located(source):
            evidence.add(_tags(record))
    return evidence.scheme


def tagged_example(record: dict[str, Any], source: str, scheme: Scheme, on_problem: OnProblem) -> Example:
    """The example of a record; `on_problem` takes tags against the scheme.

    Raises:
        DataError: If a field is missing or of another kind, there are not as many tags as tokens, or a tag is none.
    """
    with located(source):
        tags = _tags(record)
        tokens = require_field(record, "tokens", list)
        if len(tokens) != len(tags):
            raise DataError(f"{len(tokens)} tokens, but {len(tags)} tags; give every token one.")
        text, starts = join_tokens(tokens)
        id = optional_id(record)
    spans = tagged_spans(tags, scheme, lambda index, what: on_problem(f"{source}: token {index}: {what}"))
    return Example(text, tuple(token_entity(tokens, starts, *span) for span in spans), id, source)


def _untagged_example(record: dict[str, Any], source: str) -> Example:
    text, _ = join_tokens(require_field(record, "tokens", list))
    return Example(text, (), optional_id(record), source)


def _tags(record: dict[str, Any]) -> list[Tag]:
    tags = require_field(record, "ner_tags", list)
    for index, tag in enumerate(tags):
        if not isinstance(tag, str):
            raise DataError(
                f"ner_tags[{index}] is {preview(tag)}, which has no name here; map numbers to their names with the "
                'features of the data set, `features["ner_tags"].feature.int2str`, or give it to `read_dataset`.'
            )
    with located("ner_tags"):
        return parse_tags(tags)
