"""Long runs that write a line for each text: what is left when they are interrupted, and how they go on from there."""

import json
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn, TextIO

from ..atomic_files import atomic_path, partial_path
from .common import InputError, atomic_file, say


class Written(NamedTuple):
    """What an interrupted run left.

    Args:
        lines (`int`): Its whole lines.
        size (`int`): Their bytes.
        settled (`int`): Those of the lines whose texts need not be recognized again.
    """

    lines: int = 0
    size: int = 0
    settled: int = 0


@dataclass(frozen=True)
class ResumableFile:
    """A file of JSON Lines, one record for each text of an input.

    Until it is whole, it is `PATH.partial`, and the settings that its lines depend on are in `PATH.partial.settings`.

    Args:
        path (`Path`): The file.
    """

    path: Path

    @property
    def partial(self) -> Path:
        """Its name until it is whole."""
        return partial_path(self.path)

    @property
    def is_begun(self) -> bool:
        """Whether an interrupted run left whole lines."""
        return self.partial.is_file() and any(self.lines())

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that an interrupted run left, but for a last one that was cut short."""
        with self.partial.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))

    def check(self, groups: Iterable[list[dict[str, Any]]], input: Path) -> Written:
        """Compare what an interrupted run left to the records of an input, which have no entities yet.

        Args:
            groups (`Iterable[list[dict[str, Any]]]`): The records, in order, in lists of those recognized together.
            input (`Path`): Where they come from, for messages.

        Returns:
            `Written`: All whole lines; those of whole groups are settled. A text's scores depend, in their last
            digits, on what is in a batch with it, so that the lines that a group lacks come out right only if all of
            it is recognized.

        Raises:
            InputError: If it had another input.
        """
        written = Written()
        expected = ((record, record is group[-1]) for group in groups for record in group)
        for lines, line in enumerate(self.lines(), start=1):
            record, ends_group = next(expected, (None, False))
            if record is None or not _is_line_of(record, line):
                raise InputError(f"{self.partial}:{lines} is not of the text that {input} has there; {self._remedy}")
            written = Written(lines, written.size + len(line), lines if ends_group else written.settled)
        return written

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Compare the settings of an interrupted run to those of this one.

        Args:
            settings (`dict[str, Any]`): The value of each option on which the lines depend.

        Raises:
            InputError: If one is another, or those of the interrupted run cannot be read.
        """
        try:
            begun = json.loads(self._settings_path.read_text(encoding="utf-8"))
        except (ValueError, FileNotFoundError) as error:
            raise InputError(
                f"{self._settings_path}, the settings that {self.partial} was begun with, cannot be read ({error}); "
                f"remove {self.partial} to start anew."
            ) from error
        for name, value in settings.items():
            if begun.get(name) != value:
                raise InputError(f"--{name.replace('_', '-')} is not as in {self._settings_path}; {self._remedy}")

    @contextmanager
    def open(self, keep: int, settings: dict[str, Any]) -> Iterator[TextIO]:
        """Write it as [`atomic_file`] does, with settings as of [`check_settings`] beside it.

        Where it ends before the first line is whole, nothing is left.
        """
        with atomic_file(self.path, keep) as file:
            if self.partial.is_file() and not keep:
                with atomic_path(self._settings_path) as place:
                    place.write_text(json.dumps(settings) + "\n", encoding="utf-8")
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
        return f"resume with what {self.partial} was begun with, or remove it to start anew."

    @property
    def _settings_path(self) -> Path:
        return self.partial.with_name(f"{self.partial.name}.settings")


def _is_line_of(record: dict[str, Any], line: bytes) -> bool:
    try:
        written = json.loads(line)
    except ValueError:
        return False
    # As JSON, in which a NaN is like another.
    return isinstance(written, dict) and json.dumps({**written, "entities": []}) == json.dumps(record)


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
