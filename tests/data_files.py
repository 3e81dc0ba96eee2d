"""Examples, and files of them, for the tests of formats: written, read, and what is said of them."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_globalpointer.data import DataError, DataReport, Entity, Example, read_examples, write_examples
from hf_globalpointer.data.formats.reading import input_format


# The text of an example, and the words and the label of each entity.
Read = tuple[str, list[tuple[str, str]]]
ADA = Example("Ada Lovelace met Bob", (Entity(0, 12, "per"), Entity(17, 20, "per")))
ADA_ROWS = [[0, 12, "per"], [17, 20, "per"]]
ADA_READ: Read = (ADA.text, [("Ada Lovelace", "per"), ("Bob", "per")])
NESTED = Example(ADA.text, (Entity(0, 12, "per"), Entity(0, 3, "first name"), Entity(2, 14, "odd")))
ODD = Example(" a\r\n\u2028😀\u3000\ufeffe\u0301\t\x00 ", (Entity(0, 3, "b-x"), Entity(5, 6, "é")), id="é/ü")


def write_file(path: Path, content: object) -> Path:
    """Write bytes, a string, or anything else as JSON; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
    path.write_bytes(content)
    return path


def text_and_entities(example: Example) -> Read:
    return example.text, [(example.text[e.start : e.end], e.label) for e in example.entities]


def read_texts(path: Path, **options: Any) -> list[Read]:
    return [text_and_entities(example) for example in read_examples(path, **options)]


def read_without_source(path: Path, **options: Any) -> list[Example]:
    return [replace(example, source=None) for example in read_examples(path, **options)]


def problems_of(path: Path) -> list[str]:
    """The problems of a file, which without a report are errors, the first of them named."""
    report = DataReport()
    examples = list(read_examples(path, report=report))
    assert report.num_examples == len(examples)
    assert report.num_entities == sum(len(example.entities) for example in examples)
    assert report.num_problems == len(report.problems)
    if report.problems:
        with pytest.raises(DataError) as caught:
            list(read_examples(path))
        assert str(caught.value).startswith(f"{report.problems[0]} Correct it; or let")
    return [problem.removeprefix(f"{path.parent}/") for problem in report.problems]


def reading_error(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(read_examples(path, **options))
    return str(caught.value)


def writing_error(examples: list[Example], path: Path, **options: Any) -> str:
    """The error of writing, which leaves nothing."""
    with pytest.raises(DataError) as caught:
        write_examples(examples, path, **options)
    assert not list(path.parent.glob(f"{path.name}*"))
    return str(caught.value)


def check_detected(path: Path, format: str, content: object, expected: list[Read]) -> None:
    """A file of this format is detected, and read without problems."""
    write_file(path, content)
    assert input_format(path) == format
    assert read_texts(path) == expected
    assert read_texts(path, format=format) == expected
    assert problems_of(path) == []


def check_malformed(folder: Path, format: str, content: object, message: str, detected: bool) -> None:
    """The error names file, place and remedy; where the format is detected, at least the file."""
    path = write_file(folder / "data.json", content)
    if detected:
        assert "data.json" in reading_error(path)
    else:
        assert reading_error(path, format=format, report=DataReport()).startswith(f"{path}{message}")


def random_flat_examples(seed: int, count: int, alphabet: str) -> Iterator[Example]:
    """Random texts with random entities; flat, from word to word, where the alphabet has a blank."""
    generator = random.Random(seed)
    for _ in range(count):
        text = " ".join("".join(generator.choices(alphabet, k=generator.randint(1, 4))) for _ in range(6))
        cuts = sorted(generator.sample([0, *(i + 1 for i, c in enumerate(text) if c == " "), len(text) + 1], k=4))
        entities = [Entity(a, b - 1, generator.choice("xyz")) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        yield Example(text, tuple(entities))


def random_examples(seed: int, count: int) -> Iterator[Example]:
    """Random texts of odd characters with any spans as entities, and ids."""
    generator = random.Random(seed)
    for index in range(count):
        text = "".join(generator.choices('ab é東😀\n\r\t\u2028\u3000\ufeff\x00\x85"\\', k=generator.randint(1, 12)))
        pairs = [sorted(generator.choices(range(len(text) + 1), k=2)) for _ in range(4)]
        entities = [Entity(a, b, generator.choice(["x", "B-x", "é"])) for a, b in pairs if a < b]
        yield Example(text, tuple(entities), id=f"{index:04}")
