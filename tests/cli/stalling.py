"""Runs `predict`, and stops for good at one call of a function.

stalling.py writing|recognizing CALL ARGUMENT [ARGUMENT ...]
"""

import signal
import sys
import time
from itertools import count
from typing import Any

from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.cli import main


def stall(owner: Any, name: str, at: int) -> None:
    """Let one call of a function of `owner` never begin."""
    function, calls = getattr(owner, name), count(1)

    def stalled(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == at:
            time.sleep(600)
        return function(*args, **kwargs)

    setattr(owner, name, stalled)


if __name__ == "__main__":
    # Ignored where the tests run in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    where, at, *arguments = sys.argv[1:]
    if where == "writing":
        stall(sys.modules["hf_globalpointer.cli.predict"], "_record", int(at))
    else:
        stall(GlobalPointerNerPipeline, "_forward", int(at))
    main(["predict", *arguments])
