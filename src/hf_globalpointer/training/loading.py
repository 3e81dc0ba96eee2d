"""Loading what is named by a folder or a Hub id, with errors that say what is wrong with the name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def loading(kind: str, name: str) -> Iterator[None]:
    """Turn whatever goes wrong while loading a checkpoint into one sentence.

    Args:
        kind (`str`): What is loaded, such as `"encoder"`.
        name (`str`): Its folder or Hub id.

    Raises:
        OSError: If `name` is a path where no checkpoint folder is, or loading fails.
    """
    path = Path(name)
    if path.is_file():
        raise OSError(f"cannot load the {kind} {name}: it is a file; name the folder that holds it.")
    if path.is_dir() and not (path / "config.json").is_file():
        raise OSError(f"cannot load the {kind} {name}: the folder holds no config.json; is it a checkpoint?")
    if not path.exists() and (path.is_absolute() or len(path.parts) > 2):
        raise OSError(f"cannot load the {kind} {name}: no such folder.")
    try:
        yield
    except Exception as error:
        # Loading raises exceptions of every class, and their messages often have many lines.
        reason = " ".join(str(error).split())
        raise OSError(f"cannot load the {kind} {name}: {reason[:400]}") from error
