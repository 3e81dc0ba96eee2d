import gzip
from pathlib import Path

import pytest

from data_files import reading_error, write_file


# Without the time, which would name the tests of two processes differently.
@pytest.mark.parametrize(
    "content", [b"Ada\n", gzip.compress(b"Ada\n" * 9, mtime=0)[:-9], gzip.compress(b"Ada\n", mtime=0)[:12] + b"x" * 9]
)
def test_damaged_compressed_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = write_file(tmp_path / "a.txt.gz", content)
    assert reading_error(path, labeled=False).startswith(f"{path}: not a complete gzip file (")
