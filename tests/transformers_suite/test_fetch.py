"""The download of the suite: nothing of it may be left where it fails."""

import tarfile
from pathlib import Path

import pytest

from transformers_suite import suite


def test_without_the_package_index_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"could not be downloaded.*pip download"):
        suite.fetch(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("kept", [0, 1000, 0.5])
def test_of_a_broken_archive_nothing_is_kept(kept: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / f"transformers-{suite.VERSION}.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(suite.fetch(), archive.name.removesuffix(".tar.gz"))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    monkeypatch.setattr(suite, "_download", lambda folder: archive)
    with pytest.raises((tarfile.TarError, EOFError)):
        suite.fetch(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "_download", None)
    folder = tmp_path / f"transformers-{suite.VERSION}"
    folder.mkdir()
    assert suite.fetch(tmp_path) == folder
