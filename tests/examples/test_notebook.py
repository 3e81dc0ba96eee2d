import os
import sys
from importlib.resources import files
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from hub_server import HubServer


NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
SAMPLES = files("hf_globalpointer.data") / "samples"


def test_the_notebook_runs_from_data_to_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # Few sentences, and one epoch.
    for split, count in (("train", 30), ("dev", 10), ("test", 10)):
        lines = (SAMPLES / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{split}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    for words, others in {
        'files("hf_globalpointer.data") / "samples"': "Path()",
        "test=TEST,": "test=TEST, epochs=1,",
        'HUB_ID = ""': 'HUB_ID = "me/my-ner"',
    }.items():
        (cell,) = [cell for cell in notebook.cells if words in cell.source]
        cell.source = cell.source.replace(words, others)
    # The kernel and its shells are those of this environment.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    with HubServer() as hub:
        for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_token", "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
        assert {"README.md", "config.json", "model.safetensors"} <= set(hub.files("me/my-ner"))
    shown = "".join(
        output["data"].get("text/html", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    )
    assert 'class="gp-segment"' in shown
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_notebook_comes_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
