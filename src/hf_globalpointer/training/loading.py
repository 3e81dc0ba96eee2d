"""Loading what is named by a folder or a Hub id, with errors that say what is wrong with the name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


# Written when a training begins, removed when it has ended.
RUN_SETTINGS_NAME = "run_settings.json"


@contextmanager
def without_file_bars() -> Iterator[None]:
    """Hide the bars of Transformers for weights that it loads and saves, but not those of downloads."""
    # It takes seconds to import, which wrong names do not wait for.
    from transformers.utils import logging

    former = logging.set_tqdm_hook(lambda make, args, kwargs: make(*args, **{**kwargs, "disable": True}))
    try:
        yield
    finally:
        logging.set_tqdm_hook(former)


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
        if (path / RUN_SETTINGS_NAME).is_file():
            raise OSError(f"cannot load the {kind} {name}: its training has not ended; go on with it by --resume.")
        raise OSError(f"cannot load the {kind} {name}: the folder holds no config.json; is it a checkpoint?")
    if not path.exists() and (path.is_absolute() or name.startswith(".") or len(path.parts) > 2):
        raise OSError(f"cannot load the {kind} {name}: no such folder.")
    try:
        with without_file_bars():
            yield
    except Exception as error:
        # Loading raises exceptions of every class, and their messages often have many lines.
        reason = " ".join(str(error).split())
        # An id of the Hub looks like the name of a folder.
        missing = "" if path.exists() else "there is no folder of that name here, and from the Hub: "
        raise OSError(f"cannot load the {kind} {name}: {missing}{reason[:400]}") from error
