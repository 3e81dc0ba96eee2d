import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import yaml

from hf_globalpointer import __version__


ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples" / "space"


def test_the_space_serves_its_models(checkpoint: Path, free_port: int) -> None:
    environment = {"MODELS": str(checkpoint), "GRADIO_SERVER_PORT": str(free_port), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "app.py"], cwd=SPACE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stdout
        url = next(filter(None, (re.search(r"http://[\d.]+:\d+", line) for line in process.stdout)))[0]
        page = urllib.request.urlopen(url).read().decode()
        process.terminate()
    assert checkpoint.name in page
    assert "entity-view" in page


def test_the_front_matter_names_what_is_there() -> None:
    _, front_matter, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(front_matter)
    assert (SPACE / fields["app_file"]).is_file()
    requirement = (SPACE / "requirements.txt").read_text()
    assert requirement == f"./hf_globalpointer-{__version__}-py3-none-any.whl[demo-app]\n"
    # The version that this repository is tested with.
    assert f"gradio=={fields['sdk_version']}\n" in (ROOT / "constraints.txt").read_text()
