import os
import signal
import socket
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from conftest import Run


def test_the_app_is_served_until_it_is_interrupted(checkpoint: Path, free_port: int) -> None:
    command = "from hf_globalpointer_cli import main; main()"
    options = ["demo", "--model", str(checkpoint), "--port", str(free_port)]
    with subprocess.Popen(
        [sys.executable, "-c", command, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        # What a script runs in the background ignores SIGINT, and so would the app.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr
        url = f"http://127.0.0.1:{free_port}/"
        line = next(line for line in process.stderr if line.startswith("http"))
        assert line == f"{url} (Ctrl-C ends it)\n"
        page = urllib.request.urlopen(url).read().decode()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert f"Entities by {checkpoint.name}" in page
    assert 'customElements.define("entity-view"' in page.replace('\\"', '"')
    assert "Traceback" not in rest
    assert process.returncode == 0


def test_a_port_that_is_taken_is_said(checkpoint: Path, free_port: int, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        code, _, err = run("demo", "--model", checkpoint, "--port", free_port)
    assert code == 1
    assert err.splitlines()[-1].startswith(
        f"hf-globalpointer: cannot serve at 127.0.0.1:{free_port}; is the port taken"
    )


@pytest.mark.parametrize("models", ["aa", "abc"])
def test_models_that_cannot_be_compared_are_refused(models: str, run: Run) -> None:
    code, _, err = run("demo", *(option for model in models for option in ("--model", model)))
    names = ", ".join(models)
    message = f"--model takes one model, or two different ones to compare, got {names}."
    assert (code, err) == (1, f"hf-globalpointer: {message}\n")


def test_without_gradio_it_is_said_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "hf_globalpointer.demo.app", raising=False)
    code, _, err = run("demo", "--model", "m")
    assert (code, err) == (1, "hf-globalpointer: the demo needs gradio: pip install 'hf-globalpointer[demo-app]'\n")
