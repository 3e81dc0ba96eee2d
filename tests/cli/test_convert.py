import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, pipeline

from conftest import LABELS, TINY, Run, make_char_tokenizer


Convert = Callable[..., tuple[int, str]]


@pytest.fixture
def convert(tmp_path: Path, run: Run) -> Convert:
    """Run the command on weights of bert4torch, with some options changed: exit code and standard error."""
    encoder = tmp_path / "encoder"
    config = BertConfig(
        **{name: size for name, size in TINY.items() if name != "head_size"} | {"num_hidden_layers": 2}
    )
    config.save_pretrained(encoder)
    make_char_tokenizer().save_pretrained(encoder)
    torch.manual_seed(0)
    state = {f"bert.{name}": tensor for name, tensor in BertModel(config).state_dict().items()}
    for name, rows in (("p_dense", 16), ("q_dense", 2 * len(LABELS))):
        state |= {
            f"global_pointer.{name}.weight": torch.randn(rows, 16),
            f"global_pointer.{name}.bias": torch.randn(rows),
        }
    torch.save(state, tmp_path / "best_model.pt")
    usual = {
        "--weights": tmp_path / "best_model.pt",
        "--encoder": encoder,
        "--labels": ",".join(LABELS),
        "--layout": "bert4torch",
        "--output": tmp_path / "out",
    }

    def convert(**changed: object) -> tuple[int, str]:
        options = usual | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
        code, _, err = run(
            "convert", *(word for option in options.items() if option[1] is not None for word in option)
        )
        return code, err

    return convert


def test_the_command_writes_a_checkpoint_that_the_pipeline_takes(convert: Convert, tmp_path: Path) -> None:
    code, err = convert()
    assert code == 0, err
    dropped = "  dropped: bert.pooler.dense.weight\n  dropped: bert.pooler.dense.bias\n"
    assert f"41 tensors converted.\n{dropped}Checkpoint is in" in err
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["id2label"], config["head_size"]) == ({"0": "date", "1": "person", "2": "place"}, 8)
    found = pipeline("global-pointer-ner", model=str(tmp_path / "out"))("abc def")
    assert {entity["entity_group"] for entity in found} <= set(LABELS)
    (tmp_path / "labels.txt").write_text("date\nperson\n\nplace\n")
    assert convert(labels=None, labels_file=tmp_path / "labels.txt", output=tmp_path / "again")[0] == 0
    again, out = (load_file(tmp_path / name / "model.safetensors") for name in ("again", "out"))
    assert again.keys() == out.keys()
    assert all(torch.equal(again[name], out[name]) for name in out)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": "nowhere.pt"}, "nowhere.pt: no such file; check the path."),
        ({"labels": "date"}, "the weights hold 3 entity types, but 1 labels are given"),
        ({"labels": None}, "give either --labels or --labels-file."),
        ({"labels": " , "}, "give at least one entity type."),
        ({"labels": "date,place,date"}, "entity type 'date' is given twice."),
        ({"layout": None}, "give the layout of the implementation that trained it: bert4keras (bert4keras, JunnYu"),
        (
            {"layout": "keras"},
            "--layout must be one of bert4keras, xhw205, bert4torch, bert4torch-unhalved, got keras.",
        ),
        ({"head_size": 7}, "no configuration can be made for"),
        ({"encoder": "/no/such/encoder"}, "cannot load the encoder /no/such/encoder: no such folder."),
        ({"output": "full"}, "full exists and is not empty; choose another, or remove it"),
    ],
)
def test_bad_input_to_the_command_is_told_and_writes_nothing(
    changed: dict[str, object], message: str, convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    code, err = convert(**changed)
    assert code == 1
    assert err.startswith("hf-globalpointer: ")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
