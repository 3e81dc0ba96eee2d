"""The bar that shows how far the recognition of texts is."""

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text


class RecognitionBar:
    """A progress bar of texts.

    Many texts are recognized together, and done at one moment. Until then, as many of them count as windows have been
    through the encoder, so that the bar moves with every batch.

    Args:
        console (`Console`): Where it is shown.
        total (`int`, *optional*): How many texts there are, if that is known.
        is_shown (`bool`): Whether it is shown.
    """

    def __init__(self, console: Console, total: int | None, is_shown: bool) -> None:
        self._progress = Progress(
            TextColumn("Recognizing"),
            BarColumn(None),
            Pace(),
            console=console,
            expand=True,
            redirect_stdout=False,  # where lines are data
            disable=not is_shown,
        )
        self._task = self._progress.add_task("", total=total)
        self._done = 0
        self._windows = 0
        self._shown = 0

    @contextmanager
    def following(self, waiting: Sized) -> Iterator[Callable[[int], None]]:
        """Show the bar; gives what is to be called after each batch, with the number of its windows.

        Args:
            waiting (`Sized`): The texts that are being recognized.
        """

        def see(windows: int) -> None:
            self._windows += windows
            self._show(self._done + min(self._windows, len(waiting)))

        with self._progress:
            yield see

    def advance(self) -> None:
        """Count a text that is done."""
        self._done += 1
        self._windows = 0
        self._show(self._done)

    def _show(self, texts: int) -> None:
        self._shown = max(self._shown, texts)
        self._progress.update(self._task, completed=self._shown)


class Pace(ProgressColumn):
    """The texts that are done, how many that is a second since the beginning, and the time for what is left.

    Not a second of late, as of the columns of `rich`: texts that are done at one moment have no such pace.
    """

    def render(self, task: Task) -> Text:
        """What the bar shows of a task."""
        total = "" if task.total is None else f"/{task.total:.0f}"
        shown = f"{task.completed:.0f}{total} texts"
        if task.completed and task.elapsed:
            rate = task.completed / task.elapsed
            shown += f", {rate:.1f} texts/s"
            if task.remaining:
                shown += f", {timedelta(seconds=round(task.remaining / rate))} left"
        return Text(shown, no_wrap=True)
