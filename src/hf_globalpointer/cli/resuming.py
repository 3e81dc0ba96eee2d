"""What `predict` and other long runs leave when they are interrupted; `predict.py` says how `--resume` goes on."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from ..atomic_files import partial_path
from .common import InputError, atomic_file, say


@dataclass(frozen=True)
class ResumableFile:
    """A file of JSON Lines, one record for each text of an input.

    Until it is complete, it is `PATH.partial`, and its settings are in `PATH.partial.settings`.

    Args:
        path (`Path`): The file.
        settings (`dict[str, Any]`): The value, as in JSON, of each option that the lines depend on.
    """

    path: Path
    settings: dict[str, Any]

    @property
    def partial(self) -> Path:
        """Its name until it is complete."""
        return partial_path(self.path)

    @property
    def is_begun(self) -> bool:
        """Whether an interrupted run left complete lines."""
        return any(self.lines())

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that an interrupted run left, except a last one that was cut."""
        if self.partial.is_file():
            with self.partial.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def records(self, count: int) -> Iterator[dict[str, Any]]:
        """Yield the records of the first `count` lines.

        Raises:
            InputError: If a line is no JSON, as those that a crash of the machine fills with zeros.
        """
        for number, line in enumerate(islice(self.lines(), count), start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(f"{self.partial}:{number} is no JSON ({error}); {self._remedy}") from error

    def check_settings(self) -> None:
        """Compare the settings to those of the interrupted run.

        Raises:
            InputError: If an option has another value, or those of the interrupted run cannot be read.
        """
        try:
            begun = json.loads(self._settings_path.read_text(encoding="utf-8"))
        except (ValueError, FileNotFoundError) as error:
            raise InputError(f"{self._settings_path} cannot be read ({error}); {self._remedy}") from error
        for name, value in self.settings.items():
            if begun.get(name) != value:
                raise InputError(
                    f"--{name.replace('_', '-')} is not as in {self._settings_path}; resume with what {self.partial} "
                    "was begun with, or remove it to start anew."
                )

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open it as [`atomic_file`] does, to write after the complete lines that an interrupted run left.

        Where it ends before the first line is complete, nothing is left.
        """
        kept = sum(map(len, self.lines()))
        with atomic_file(self.path, kept) as file:
            # A pipe has no other name while it is written.
            if self.partial.is_file():
                self._settings_path.write_text(json.dumps(self.settings) + "\n", encoding="utf-8")
            try:
                yield file
            except BaseException:
                file.close()
                if not self.is_begun:
                    self.partial.unlink(missing_ok=True)
                    self._settings_path.unlink(missing_ok=True)
                raise
        self._settings_path.unlink(missing_ok=True)

    @property
    def _remedy(self) -> str:
        return f"remove {self.partial} to start anew."

    @property
    def _settings_path(self) -> Path:
        return self.partial.with_name(f"{self.partial.name}.settings")


@contextmanager
def interruptible(go_on: Callable[[], str]) -> Iterator[None]:
    """End with a message when interrupted, or told to terminate, with files closed.

    Args:
        go_on (`Callable`): What the message says of how to go on, as `"; do this"`, or "" if there is nothing to go on
            with; asked when interrupted.
    """

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say(f"hf-globalpointer: interrupted{go_on()}.")
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
