import io
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress
from transformers import PreTrainedTokenizerFast

from conftest import make_model
from hf_globalpointer import Example, GlobalPointerNerPipeline
from hf_globalpointer.cli import common
from hf_globalpointer.cli.progress import Pace, RecognitionBar


@pytest.mark.parametrize(
    ("done", "total", "seconds", "shown"),
    [
        (0, 1000, 5, "0/1000 texts"),
        (50, 1000, 4, "50/1000 texts, 12.5 texts/s, 0:01:16 left"),
        (50, None, 4, "50 texts, 12.5 texts/s"),
        (1000, 1000, 80, "1000/1000 texts, 12.5 texts/s"),
    ],
)
def test_pace_is_that_since_the_beginning(done: int, total: int | None, seconds: int, shown: str) -> None:
    now = [0.0]
    progress = Progress(console=Console(file=io.StringIO()), get_time=lambda: now[0])
    task = progress.add_task("", total=total)
    # All at one moment, as texts that are recognized together are.
    now[0] = seconds
    progress.update(task, completed=done)
    assert Pace().render(progress.tasks[0]).plain == shown


def test_the_bar_moves_with_every_batch(
    char_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    class Bar(RecognitionBar):
        def _show(self, texts: int) -> None:
            super()._show(texts)
            shown.append(self._shown)

    monkeypatch.setattr(common, "RecognitionBar", Bar)
    pipe = GlobalPointerNerPipeline(model=make_model("efficient"), tokenizer=char_tokenizer, task="x")
    results: list[Any] = []
    for result in common.recognize(pipe, map(Example, ["ab"] * 10), 4, 10):
        if not results:
            assert shown == [4, 8, 10, 10]
        results.append(result)
    assert shown == [4, 8, 10] + [10] * 10
    assert len(results) == 10


def test_windows_of_long_texts_are_no_more_texts() -> None:
    bar = RecognitionBar(Console(file=io.StringIO()), None, True)
    with bar.following([Example("a")] * 3) as on_batch:
        for expected in (2, 3, 3):
            on_batch(2)
            assert bar._shown == expected
