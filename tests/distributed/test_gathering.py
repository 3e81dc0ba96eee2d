import json
from importlib.resources import files
from pathlib import Path

from conftest import make_char_tokenizer, make_model
from hf_globalpointer import read_examples
from launching import run


def test_scores_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    data = Path(str(files("hf_globalpointer.data"))) / "samples" / "dev.jsonl"
    labels = sorted({entity.label for example in read_examples(data) for entity in example.entities})
    make_model("efficient", labels=labels).save_pretrained(tmp_path)
    make_char_tokenizer().save_pretrained(tmp_path)
    lines = data.read_text(encoding="utf-8").splitlines(keepends=True)
    # Batches of four on two processes: an uneven last one, and no sample at all for the second process.
    (tmp_path / "uneven.jsonl").write_text("".join(lines[:21]), encoding="utf-8")
    (tmp_path / "single.jsonl").write_text(
        '{"text": "asch of leeds", "entities": [{"start": 0, "end": 4, "label": "person"}]}\n', encoding="utf-8"
    )
    names = ("uneven.jsonl", "single.jsonl")
    for processes in (1, 2):
        arguments = (tmp_path, tmp_path / f"{processes}.json", *(tmp_path / name for name in names))
        run(Path(__file__).with_name("evaluation.py"), *arguments, processes=processes)
    one, two = (json.loads((tmp_path / f"{processes}.json").read_text()) for processes in (1, 2))
    assert one == two
    for name in names:
        assert one[name]["trainer"] == one[name]["loop"]
    assert one["uneven.jsonl"]["samples"] % 8
    assert one["single.jsonl"]["samples"] == 1
    assert 0 < one["uneven.jsonl"]["loop"]["recall"] < 1
