import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import LongformerConfig

from conftest import LABELS, make_model
from hf_globalpointer import EncoderForGlobalPointer, EncoderGlobalPointerConfig
from hf_globalpointer.training.optimization import freeze_unused, parameter_groups


def test_every_parameter_is_in_one_group_with_its_rate() -> None:
    model = make_model("full")
    groups = parameter_groups(model, encoder_lr=1.0, head_lr=2.0, weight_decay=0.1)
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(list(model.parameters()))
    assert rates[id(model.classifier.dense.weight)] == (2.0, 0.1)
    assert rates[id(model.classifier.dense.bias)] == (2.0, 0.0)
    assert rates[id(model.bert.embeddings.word_embeddings.weight)] == (1.0, 0.1)
    assert rates[id(model.bert.embeddings.LayerNorm.weight)] == (1.0, 0.0)
    model.bert.requires_grad_(False)
    assert {group["lr"] for group in parameter_groups(model, 1.0, 2.0)} == {2.0}
    assert isinstance(torch.optim.AdamW(groups), torch.optim.Optimizer)


# PEFT calls what Transformers calls otherwise now.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_head_of_an_adapted_model_has_its_rate() -> None:
    lora = LoraConfig(task_type=TaskType.TOKEN_CLS, r=2, target_modules=["query"], modules_to_save=["classifier"])
    model = get_peft_model(make_model("full"), lora)
    groups = parameter_groups(model, encoder_lr=1.0, head_lr=2.0, weight_decay=0.1)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == (2.0 if "classifier" in name else 1.0)


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="BertModel has no parameter of a `classifier`"):
        parameter_groups(make_model("full").bert, encoder_lr=1.0, head_lr=2.0)


def test_what_gets_no_gradient_is_frozen_and_nothing_else_is() -> None:
    model = make_model("full").train()
    state = torch.get_rng_state()
    assert freeze_unused(model) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    encoder = LongformerConfig(vocab_size=60, attention_window=8, **sizes)
    longformer = EncoderForGlobalPointer(EncoderGlobalPointerConfig(encoder_config=encoder, labels=LABELS))
    frozen = freeze_unused(longformer)
    assert len(frozen) == 12
    assert all("_global" in name for name in frozen)
    assert not any(longformer.get_parameter(name).requires_grad for name in frozen)
