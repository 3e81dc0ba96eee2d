from pathlib import Path

import pytest

from data_files import reading_error, write_file
from hf_globalpointer.data import DataError, Example, read_examples


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("one\ntwo\n", [("one", 1), ("two", 2)], id="plain"),
        pytest.param("\ufeffone\r\n\r\n  \r\ntwo", [("one", 1), ("", 2), ("  ", 3), ("two", 4)], id="bom-crlf-blank"),
        pytest.param("  one \n", [("  one ", 1)], id="blanks-kept"),
        pytest.param('{"text": "😀"}\nŁódź\u2028東京\n', [('{"text": "😀"}', 1), ("Łódź\u2028東京", 2)], id="unicode"),
    ],
)
def test_plain_text_is_one_example_a_line(tmp_path: Path, content: str, expected: list[tuple[str, int]]) -> None:
    path = write_file(tmp_path / "data.txt", content)
    assert list(read_examples(path, labeled=False)) == [Example(t, source=f"{path}:{n}") for t, n in expected]


def test_plain_text_before_a_broken_line_is_read(tmp_path: Path) -> None:
    path = write_file(tmp_path / "data.txt", b"x\n" * 6 + b"\xff\n")
    examples = read_examples(path, labeled=False)
    assert [next(examples).text for _ in range(6)] == ["x"] * 6
    with pytest.raises(DataError) as caught:
        next(examples)
    assert str(caught.value).startswith(f"{path}:7: not UTF-8 (")


@pytest.mark.parametrize(("name", "format"), [("a.txt", None), ("a.jsonl", "text")])
def test_plain_text_is_no_labeled_data(tmp_path: Path, name: str, format: str | None) -> None:
    path = write_file(tmp_path / name, "some text\n")
    assert reading_error(path, format=format).startswith(f"{path}: plain text has no entities;")
