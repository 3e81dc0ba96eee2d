from pathlib import Path

import pytest

from hf_globalpointer.atomic_files import atomic_path


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "found.jsonl"
    with atomic_path(target) as first:
        first.write_text("one")
        with pytest.raises(BlockingIOError, match="another run is writing it"), atomic_path(target):
            pass
        assert not target.exists()
        assert first.read_text() == "one"
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_after_an_error_anybody_may_write(tmp_path: Path) -> None:
    target = tmp_path / "found.jsonl"
    with pytest.raises(FileNotFoundError), atomic_path(target) as place:
        (tmp_path / "nothing").rename(tmp_path / str(place.write_text("half")))
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl.partial"]
    with atomic_path(target) as place:
        assert place.read_text() == "half"
        place.write_text("whole")
    assert target.read_text() == "whole"


def test_no_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "nowhere" / "x"):
        pass
    assert not list(tmp_path.iterdir())
