from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data_files import ADA, NESTED, read_without_source, writing_error
from hf_globalpointer.data import DataError, Entity, Example, read_examples, write_examples
from hf_globalpointer.data.formats.writing import WRITERS


UNKNOWN = (
    "cannot tell the format to write; name one of jsonl, conll, brat, doccano, label-studio, by --to, or by `format` "
    "in Python."
)


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("label", ["", " ", "a\tb", "a\n"])
def test_labels_that_no_reader_takes_are_refused(tmp_path: Path, format: str, label: str) -> None:
    message = writing_error([Example("a", (Entity(0, 1, label),))], tmp_path / "out", format=format)
    assert message == f"'a': the label is {label!r}; name the entity's type in printable characters."


@pytest.mark.parametrize("format", WRITERS)
def test_nothing_to_write(tmp_path: Path, format: str) -> None:
    assert writing_error([], tmp_path / "out", format=format) == "there are no examples to write."


@pytest.mark.parametrize("format", WRITERS)
def test_output_has_its_name_only_once_it_is_whole(tmp_path: Path, format: str) -> None:
    def examples() -> Iterator[Example]:
        yield ADA
        assert not (tmp_path / "out").exists()
        assert (tmp_path / "out.partial").exists()
        yield ADA

    write_examples(examples(), tmp_path / "out", format)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_file_stays_what_it_was_if_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("old")
    with pytest.raises(DataError):
        write_examples([ADA, NESTED], tmp_path / "a.conll")
    assert [path.name for path in tmp_path.iterdir()] == ["a.conll"]
    assert (tmp_path / "a.conll").read_text() == "old"


@pytest.mark.parametrize("format", WRITERS)
def test_output_of_another_writer_is_left_to_it(tmp_path: Path, format: str) -> None:
    path = tmp_path / "out"

    def examples() -> Iterator[Example]:
        yield ADA
        with pytest.raises((DataError, BlockingIOError)):
            write_examples([Example("other")], path, format)
        yield ADA

    write_examples(examples(), path, format)
    assert [shown.name for shown in tmp_path.iterdir()] == ["out"]
    assert len(read_without_source(path, format=format)) == 2


def test_nothing_is_left_where_the_output_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", fail)
    for format in WRITERS:
        with pytest.raises(OSError, match="busy"):
            write_examples([replace(ADA, id="a/b")], tmp_path / "out", format)
        assert not list(tmp_path.iterdir())


def test_file_may_be_converted_into_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_examples([ADA] * 100, path)
    write_examples(read_examples(path), path)
    assert read_without_source(path) == [ADA] * 100


def test_output_through_a_link_and_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    write_examples([ADA], tmp_path / "link.jsonl")
    assert read_without_source(tmp_path / "real.jsonl") == [ADA]
    write_examples([ADA], "/dev/null", "jsonl")


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        (
            "out",
            None,
            UNKNOWN,
        ),
        (
            "out.txt",
            None,
            UNKNOWN,
        ),
        (
            "out.jsonl",
            "spert",
            UNKNOWN,
        ),
    ],
)
def test_unknown_format(tmp_path: Path, name: str, format: str | None, message: str) -> None:
    assert writing_error([ADA], tmp_path / name, format=format) == f"{tmp_path / name}: {message}"


def test_folders_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "left.partial").mkdir()
    for name, format, message in (
        ("full", None, "full: exists and is not an empty folder; choose another or remove it."),
        ("full", "jsonl", "full: a folder; name a file."),
        ("left", "brat", "left.partial: left by a run that did not end, or in use by another; remove it."),
    ):
        with pytest.raises(DataError) as caught:
            write_examples([ADA], tmp_path / name, format)
        assert str(caught.value) == f"{tmp_path}/{message}"
    (tmp_path / "empty").mkdir()
    write_examples([replace(ADA, id="x")], tmp_path / "empty")
    assert read_without_source(tmp_path / "empty") == [replace(ADA, id="x")]
