"""PEFT adapters and quantized weights around a GlobalPointer model."""

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForTokenClassification, BitsAndBytesConfig, PreTrainedTokenizerFast

from conftest import MODELS, make_model
from hf_globalpointer import GlobalPointerNerPipeline


# PEFT calls what Transformers calls otherwise now.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

IDS = torch.arange(5, 17)[None]
GOLD = torch.tensor([[[0, 1, 2], [2, 5, 5]]])


@pytest.mark.parametrize("targets", [["query", "value"], ["query", "dense"], "all-linear"])
@pytest.mark.parametrize("kind", MODELS)
def test_lora_trains_adapters_and_head_and_comes_back(
    kind: str, targets: list[str] | str, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    base = make_model(kind)
    untouched = copy.deepcopy(base)
    # Without `modules_to_save`, PEFT would also put adapters into a head whose layers are among the targets.
    lora = LoraConfig(task_type=TaskType.TOKEN_CLS, r=2, target_modules=targets, modules_to_save=["classifier"])
    model = get_peft_model(base, lora)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all("lora_" in name or "classifier.modules_to_save" in name for name in trained)
    assert not any("lora_" in name and "classifier" in name for name in trained)
    assert sum("classifier" in name for name in trained) == {"full": 2, "efficient": 4}[kind]
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.02)
    losses = []
    for _ in range(15):
        loss = model.train()(input_ids=IDS, labels=GOLD).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2

    logits = model.eval()(input_ids=IDS).logits
    model.save_pretrained(tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(untouched, tmp_path / "adapter").eval()
    torch.testing.assert_close(loaded(input_ids=IDS).logits, logits)
    entities = GlobalPointerNerPipeline(model=loaded, tokenizer=char_tokenizer, task="x")("ada met bob. a")

    merged = loaded.merge_and_unload()
    assert type(merged) is MODELS[kind][1]
    merged.save_pretrained(tmp_path / "merged")
    merged = AutoModelForTokenClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(IDS).logits, logits, rtol=1e-4, atol=1e-3)
    pipe = GlobalPointerNerPipeline(model=merged, tokenizer=char_tokenizer, task="x")
    assert pipe("ada met bob. a") == [pytest.approx(entity, abs=1e-3) for entity in entities]


@pytest.mark.parametrize("kind", MODELS)
def test_quantized_loading_leaves_the_head_alone(kind: str, tmp_path: Path) -> None:
    model = make_model(kind, hidden_size=64, intermediate_size=128)
    model.save_pretrained(tmp_path / "float")
    quantization = BitsAndBytesConfig(load_in_8bit=True)
    quantized = AutoModelForTokenClassification.from_pretrained(tmp_path / "float", quantization_config=quantization)
    kinds = {
        name.partition(".")[0]: type(module.weight).__name__
        for name, module in quantized.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert kinds == {"bert": "Int8Params", "classifier": "Parameter"}
    logits, expected = quantized(IDS).logits, model(IDS).logits
    seen = expected > torch.finfo(expected.dtype).min
    assert torch.corrcoef(torch.stack([logits[seen], expected[seen]]))[0, 1] > 0.97
    assert not torch.equal(logits, expected)
    quantized.save_pretrained(tmp_path / "quantized")
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path / "quantized")
    assert torch.equal(loaded(IDS).logits, logits)
