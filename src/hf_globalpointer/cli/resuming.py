"""Long runs that write a line for each text: what is left when they are interrupted, and how they go on from there."""

import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn, TextIO

from ..partial import partial_path
from .common import InputError, say, whole_file


class Written(NamedTuple):
    """How many lines, and their size in bytes."""

    lines: int = 0
    size: int = 0


@dataclass(frozen=True)
class ResumableFile:
    """A file of JSON Lines, one record for each text of an input.

    Until it is whole, it is `PATH.partial`, and the settings that its lines depend on are in `PATH.partial.settings`.

    Args:
        path (`Path`): The file.
        settings (`dict[str, Any]`): The value of each option on which its lines depend.
    """

    path: Path
    settings: dict[str, Any]

    @property
    def partial(self) -> Path:
        """Its name until it is whole."""
        return partial_path(self.path)

    @property
    def is_begun(self) -> bool:
        """Whether an interrupted run left lines."""
        return self.partial.is_file() and self.partial.stat().st_size > 0

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that an interrupted run left, but for a last one that was cut short."""
        with self.partial.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))

    def check(self, records: Iterable[dict[str, Any]], input: Path, group: int) -> Written:
        """Compare what an interrupted run left to the records of an input, which have no entities yet.

        Args:
            records (`Iterable[dict[str, Any]]`): The records, in order.
            input (`Path`): Where they come from, for messages.
            group (`int`): How many texts a run recognises together.

        Returns:
            `Written`: The lines of whole groups. A text's scores depend, in their last digits, on what was in a batch
            with it, so that a group that is not whole must be recognised again.

        Raises:
            InputError: If it had other settings, or another input.
        """
        remedy = f"resume with what {self.partial} was begun with, or remove it to start anew."
        if self._settings_path.exists():
            begun = json.loads(self._settings_path.read_text(encoding="utf-8"))
            for name, value in self.settings.items():
                if begun.get(name) != value:
                    raise InputError(f"--{name.replace('_', '-')} is not as in {self._settings_path}; {remedy}")
        whole = Written()
        size = 0
        expected = iter(records)
        for lines, line in enumerate(self.lines(), start=1):
            if not _is_line_of(next(expected, None), line):
                raise InputError(f"{self.partial}:{lines} is not of the text that {input} has there; {remedy}")
            size += len(line)
            if lines % group == 0:
                whole = Written(lines, size)
        return whole

    @contextmanager
    def open(self, keep: int) -> Iterator[TextIO]:
        """Write it as [`whole_file`] does."""
        with whole_file(self.path, keep) as file:
            if self.partial.is_file() and not keep:
                self._settings_path.write_text(json.dumps(self.settings) + "\n", encoding="utf-8")
            yield file
        self._settings_path.unlink(missing_ok=True)

    @property
    def _settings_path(self) -> Path:
        return self.partial.with_name(f"{self.partial.name}.settings")


def _is_line_of(record: dict[str, Any] | None, line: bytes) -> bool:
    try:
        written = json.loads(line)
    except ValueError:
        return False
    return isinstance(written, dict) and {**written, "entities": []} == record


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """End with a message when interrupted, or told to terminate, with files closed."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say(message)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
