from pathlib import Path

import pytest
import torch
from gradients import make_features
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from transformers import AutoModelForTokenClassification

from conftest import MODELS, make_char_tokenizer, make_model
from hf_globalpointer import DataCollatorForGlobalPointer
from launching import run


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    for kind in MODELS:
        make_model(kind).save_pretrained(folder / kind)
    run(Path(__file__).with_name("sharding.py"), folder, processes=2)
    return folder


@pytest.mark.parametrize("kind", MODELS)
def test_a_sharded_model_has_the_gradient_of_a_whole_one(kind: str, sharded: Path) -> None:
    model = make_model(kind)
    model(**DataCollatorForGlobalPointer(make_char_tokenizer())(make_features())).loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    found = torch.load(sharded / f"{kind}.pt")
    assert torch.linalg.norm(found - expected) <= 1e-5 * torch.linalg.norm(expected)


@pytest.mark.parametrize("kind", MODELS)
def test_a_sharded_checkpoint_loads_as_a_whole_one(kind: str, sharded: Path, tmp_path: Path) -> None:
    dcp_to_torch_save(sharded / f"{kind}-sharded", tmp_path / "whole.pt")
    whole = torch.load(tmp_path / "whole.pt")
    model = make_model(kind)
    assert whole.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(whole[name], value)


@pytest.mark.parametrize("kind", MODELS)
def test_the_trainer_trains_a_sharded_model_and_saves_a_whole_one(kind: str, sharded: Path) -> None:
    trained = AutoModelForTokenClassification.from_pretrained(sharded / f"{kind}-trained").state_dict()
    before = make_model(kind).state_dict()
    assert trained.keys() == before.keys()
    assert all(trained[name].shape == before[name].shape for name in before)
    assert all(not torch.equal(trained[name], before[name]) for name in before if name.startswith("classifier"))
