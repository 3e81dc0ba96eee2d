"""Runs scripts in processes of their own, which talk to each other over gloo on the CPU.

They are forked from one that has imported what all of them need, which takes a hundred times as long as what they do.
"""

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch


ROOT = Path(__file__).parents[1]
# Long after the slowest machine has done what a test asks for.
PATIENCE = 900
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["hf_globalpointer.training", "transformers.trainer", "accelerate", "datasets"])


def _main(script: Path, arguments: list[str], environment: Mapping[str, str], shown: Path) -> None:
    """What a process does: the script, as `python script arguments` does it."""
    file = os.open(shown, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def start(script: Path, *arguments: object, shown: Path, **environment: object) -> BaseProcess:
    """Start a script; what it prints is added to a file."""
    variables = {name: str(value) for name, value in ({"ACCELERATE_USE_CPU": "true"} | environment).items()}
    process = CONTEXT.Process(target=_main, args=(script, [*map(str, arguments)], variables, shown), daemon=True)
    process.start()
    return process


def ends(script: Path, *arguments: object, processes: int = 1) -> tuple[int, str]:
    """The exit code of a script, of the first process to fail if there are several, and what it printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What torchrun sets.
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "shown.txt"
        running = [
            start(script, *arguments, shown=shown, **(group | {"RANK": i, "LOCAL_RANK": i} if processes > 1 else {}))
            for i in range(processes)
        ]
        codes = []
        try:
            while running and not any(codes):
                done = wait([process.sentinel for process in running], timeout=PATIENCE)
                assert done, f"{script.name} has not ended after {PATIENCE} seconds: {shown.read_text()[-4000:]}"
                for process in [process for process in running if process.sentinel in done]:
                    process.join()
                    running.remove(process)
                    codes.append(process.exitcode)
        finally:
            # The others wait for the one that failed.
            for process in running:
                process.kill()
                process.join()
        return next(filter(None, codes), 0), shown.read_text(encoding="utf-8")


def run(script: Path, *arguments: object, processes: int = 1) -> str:
    """What a script prints; the test fails with that if the script does."""
    code, shown = ends(script, *arguments, processes=processes)
    assert code == 0, shown[-4000:]
    return shown
