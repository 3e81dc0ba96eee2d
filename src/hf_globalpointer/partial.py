"""Output that has its own name only once it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(path: Path) -> Path:
    """The name that a file or folder has until it is whole."""
    target = path.resolve()
    return target.with_name(f"{target.name}.partial")


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Where to write a file or folder, which gets its own name in the end, unless an error is raised before.

    A link is followed. What is no file, such as a pipe or a device, is written to as it is.
    """
    # By the name that was given: that of a pipe behind /dev/stdout leads nowhere.
    if path.exists() and not path.is_dir() and not path.is_file():
        yield path
        return
    partial = partial_path(path)
    yield partial
    partial.replace(path.resolve())
