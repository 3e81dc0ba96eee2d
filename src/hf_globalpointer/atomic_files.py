"""Output that has its own name only once it is complete."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(path: Path) -> Path:
    """The name that a file or folder has until it is complete."""
    target = path.resolve()
    return target.with_name(f"{target.name}.partial")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Where to write a file or folder, which gets its own name in the end, unless an error is raised before.

    A link is followed. What is no file, such as a pipe or a device, is written to as it is.

    Raises:
        OSError: If there is no folder to write it into, or somebody else is writing it.
    """
    # By the name that was given: that of a pipe behind /dev/stdout leads nowhere.
    if path.exists() and not path.is_dir() and not path.is_file():
        yield path
        return
    partial = partial_path(path)
    if not partial.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write into", str(partial.parent))
    with _only_writer(partial):
        yield partial
        partial.replace(path.resolve())


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    # A tenth of the time in which the command shows its help.
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        # A lock that could not even be made is not somebody else's.
        if not Path(lock.lock_file).exists():
            raise PermissionError(errno.EACCES, "no file can be made in its folder", str(path)) from None
        raise BlockingIOError(
            errno.EAGAIN, "another run is writing it; let that end, or choose another output", str(path)
        ) from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
