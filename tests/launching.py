"""Runs scripts in several processes, which talk to each other over gloo on the CPU."""

import os
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[1]


def command(script: Path, *arguments: object, processes: int = 1) -> list[str]:
    """The command that runs a script, in so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *(launcher if processes > 1 else []), str(script), *map(str, arguments)]


def environment() -> dict[str, str]:
    """One thread for each process, on the CPU, and the tests' own modules at hand."""
    own = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **own, "PYTHONPATH": str(ROOT / "tests")}


def run(script: Path, *arguments: object, processes: int = 1) -> str:
    """What a script prints; the test fails with its errors if it fails."""
    words = command(script, *arguments, processes=processes)
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
