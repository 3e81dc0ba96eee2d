"""Every family of encoders under a span head, as tiny random checkpoints."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForTokenClassification,
    BartConfig,
    BertConfig,
    BertForMaskedLM,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ErnieConfig,
    FunnelConfig,
    FunnelModel,
    LongformerConfig,
    MambaConfig,
    MambaModel,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RoFormerConfig,
    T5Config,
    XLMRobertaConfig,
    pipeline,
)

from conftest import LABELS
from hf_globalpointer import (
    BertForGlobalPointer,
    BertGlobalPointerConfig,
    EncoderEfficientGlobalPointerConfig,
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
)


SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}
PADDED_BY_0 = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
DISENTANGLED = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
FAMILIES: dict[str, PreTrainedConfig] = {
    "albert": AlbertConfig(**SIZES, embedding_size=8),
    "bert": BertConfig(**SIZES),
    "deberta-v2": DebertaV2Config(**SIZES, **DISENTANGLED, position_biased_input=False, type_vocab_size=0),
    "distilbert": DistilBertConfig(
        vocab_size=60, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=24, initializer_range=0.3
    ),
    "electra": ElectraConfig(**SIZES, embedding_size=8),
    "ernie": ErnieConfig(**SIZES),
    "longformer": LongformerConfig(**SIZES, attention_window=8, pad_token_id=1),
    "modernbert": ModernBertConfig(**SIZES, **PADDED_BY_0, global_attn_every_n_layers=2, local_attention=8),
    "mpnet": MPNetConfig(**SIZES, pad_token_id=1),
    "roberta": RobertaConfig(**SIZES, pad_token_id=1),
    "roberta padded by 0": RobertaConfig(**SIZES, pad_token_id=0),
    "roformer": RoFormerConfig(**SIZES, embedding_size=16),
    "t5": T5Config(
        vocab_size=60, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, initializer_factor=2.0, dropout_rate=0.0
    ),
    "xlm-roberta": XLMRobertaConfig(**SIZES, pad_token_id=1),
}
POSITIONS = {"longformer": 22, "mpnet": 22, "roberta": 22, "roberta padded by 0": 23, "xlm-roberta": 22, "t5": None}
IDS = torch.arange(5, 29).view(2, 12)
GOLD = torch.tensor([[[0, 1, 2], [2, 4, 9]], [[1, 1, 2], [-100, -100, -100]]])


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A family and a checkpoint of its plain encoder."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    AutoModel.from_config(FAMILIES[request.param]).save_pretrained(folder)
    return request.param, folder


@pytest.mark.parametrize("model_class", [EncoderForGlobalPointer, EncoderForEfficientGlobalPointer])
def test_from_a_plain_encoder_to_a_pipeline(
    encoder: tuple[str, Path],
    model_class: type[EncoderForGlobalPointer],
    char_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    family, folder = encoder
    model = model_class.from_encoder_pretrained(folder, labels=LABELS, head_size=8)
    assert not model.training
    stock = AutoModel.from_pretrained(folder)
    stock = stock.get_encoder() if FAMILIES[family].is_encoder_decoder else stock
    states = (m(input_ids=IDS).last_hidden_state for m in (stock, model.encoder))
    torch.testing.assert_close(*states)

    # One step of training moves every weight that takes part, and the head above all.
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = model.train()(IDS, labels=GOLD, token_type_ids=torch.zeros_like(IDS)).loss
    loss.backward()
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("classifier.") for name in moved)
    assert any(name.startswith("encoder.") and name.endswith("weight") for name in moved)
    assert not any("pooler" in name for name in before)

    # Saved and loaded again; padded more or less.
    model.eval().save_pretrained(tmp_path)
    char_tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert type(loaded) is model_class
    logits = model(IDS).logits
    assert torch.equal(loaded(IDS).logits, logits)
    mask = torch.ones_like(IDS)
    for extra in (1, 7):
        padded = loaded(
            torch.nn.functional.pad(IDS, (0, extra), value=FAMILIES[family].pad_token_id or 0),
            attention_mask=torch.nn.functional.pad(mask, (0, extra)),
        ).logits
        torch.testing.assert_close(padded[..., :12, :12], logits, rtol=1e-4, atol=1e-5)

    # A pipeline, with a text longer than the encoder's positions.
    recognize = pipeline("global-pointer-ner", model=str(tmp_path))
    text = "ada met bob in ely. " * 5
    single = recognize(["ada met bob", text])
    assert recognize(["ada met bob", text], batch_size=4) == [
        [pytest.approx(entity, abs=1e-5) for entity in entities] for entities in single
    ]
    assert all(entity["word"] == text[entity["start"] : entity["end"]] for entity in single[1])

    # The same weights in bfloat16: what differs is explained by its 8 bits.
    half = AutoModelForTokenClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    output = half(IDS, labels=GOLD, output_logits=True)
    assert output.logits.dtype == torch.float32
    seen = logits > torch.finfo(logits.dtype).min
    difference, spread = (output.logits - logits)[seen].abs().mean(), logits[seen].std()
    assert difference < 0.1 * spread


@pytest.mark.parametrize(
    "encoder",
    [
        MambaModel(MambaConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, state_size=4)),
        FunnelModel(FunnelConfig(vocab_size=60, d_model=16, n_head=2, d_head=8, d_inner=24, block_sizes=[1, 1])),
    ],
)
def test_encoders_of_other_kinds_score_spans_too(encoder: PreTrainedModel, tmp_path: Path) -> None:
    """One without attention, and one of which Transformers has two classes."""
    encoder.save_pretrained(tmp_path)
    model = EncoderForEfficientGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS)
    assert model(IDS).logits.shape == (2, len(LABELS), 12, 12)
    assert model(IDS, labels=torch.tensor([[[0, 1, 2]], [[1, 0, 3]]])).loss.isfinite()


def test_as_many_tokens_as_there_are_positions(encoder: tuple[str, Path]) -> None:
    family, folder = encoder
    model = EncoderForEfficientGlobalPointer.from_encoder_pretrained(folder, labels=LABELS)
    most = model.max_positions()
    assert most == POSITIONS.get(family, 24)
    model(torch.full((1, most or 50), 7))


def test_a_checkpoint_of_a_language_model_gives_its_encoder(tmp_path: Path) -> None:
    language_model = BertForMaskedLM(FAMILIES["bert"])
    language_model.save_pretrained(tmp_path)
    model = EncoderForGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    expected = language_model.bert.state_dict()
    for name, value in model.encoder.state_dict().items():
        torch.testing.assert_close(value, expected[name].to(value.dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_new_model_has_the_precisions_of_a_loaded_one(dtype: torch.dtype, tmp_path: Path) -> None:
    AutoModel.from_config(FAMILIES["bert"]).save_pretrained(tmp_path / "encoder")
    model = EncoderForGlobalPointer.from_encoder_pretrained(tmp_path / "encoder", labels=LABELS, dtype=dtype)
    model.save_pretrained(tmp_path / "model")
    loaded = EncoderForGlobalPointer.from_pretrained(tmp_path / "model")
    assert [p.dtype for p in model.parameters()] == [p.dtype for p in loaded.parameters()]
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)


def test_an_encoder_is_loaded_as_safely_as_a_model(tmp_path: Path) -> None:
    encoder = AutoModel.from_config(FAMILIES["bert"])
    encoder.save_pretrained(tmp_path)
    load = partial(EncoderForGlobalPointer.from_encoder_pretrained, tmp_path, labels=LABELS)
    _, info = load(use_safetensors=None, output_loading_info=True)
    assert not info["missing_keys"]

    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(json.dumps(json.loads(config) | {"transformers_weights": "x.safetensors"}))
    with pytest.raises(ValueError, match="names the weight file"):
        load()
    (tmp_path / "config.json").write_text(config)

    (tmp_path / "model.safetensors").unlink()
    torch.save(encoder.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="safetensors only"):
        load(use_safetensors=False)
    with pytest.raises(OSError, match=r"model\.safetensors"):
        load(use_safetensors=None)
    index = {"metadata": {}, "weight_map": dict.fromkeys(encoder.state_dict(), "../x.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="names the file"):
        load()


def test_a_whole_model_is_no_encoder(tmp_path: Path) -> None:
    BertForGlobalPointer(BertGlobalPointerConfig(**SIZES, labels=LABELS)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'bert-global-pointer', which is a whole model"):
        EncoderForGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS)


def test_fields_of_the_head_and_of_the_encoder_go_where_they_belong(tmp_path: Path) -> None:
    AutoModel.from_config(FAMILIES["bert"]).save_pretrained(tmp_path)
    model = EncoderForEfficientGlobalPointer.from_encoder_pretrained(
        tmp_path,
        id2label={0: "a", 1: "b"},
        head_size=8,
        span_representation="hidden",
        thresholds={"a": 0.3},
        attn_implementation="eager",
        hidden_dropout_prob=0.25,
    )
    assert model.config.label2id == {"a": 0, "b": 1}
    assert model.config.thresholds == {"a": 0.3}
    assert model.classifier.dense_2.weight.shape == (4, 16)
    assert model.encoder.config is model.config.encoder_config
    assert model.config.encoder_config._attn_implementation == "eager"
    assert model.config.encoder_config.hidden_dropout_prob == 0.25


def test_bert_is_the_same_as_a_model_of_its_own_and_as_an_encoder(tmp_path: Path) -> None:
    AutoModel.from_config(FAMILIES["bert"]).save_pretrained(tmp_path)
    own = BertForGlobalPointer.from_pretrained(tmp_path, labels=LABELS).eval()
    composed = EncoderForGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS)
    composed.classifier.load_state_dict(own.classifier.state_dict())
    assert torch.equal(composed(IDS).logits, own(IDS).logits)


def test_a_plain_encoder_must_come_in_by_its_own_door(tmp_path: Path) -> None:
    AutoModel.from_config(FAMILIES["roberta"]).save_pretrained(tmp_path)
    for model_class in (EncoderForGlobalPointer, BertForGlobalPointer):
        with pytest.raises(ValueError, match="from_encoder_pretrained"):
            model_class.from_pretrained(tmp_path, labels=LABELS)


def test_no_labels_is_an_error_that_shows_how(tmp_path: Path) -> None:
    AutoModel.from_config(FAMILIES["bert"]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'labels=\["person", "place"\]'):
        EncoderForGlobalPointer.from_encoder_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'labels=\["person", "place"\]'):
        EncoderForGlobalPointer(EncoderEfficientGlobalPointerConfig(encoder_config=FAMILIES["bert"]))


def test_an_encoder_decoder_without_an_encoder_class_is_refused(tmp_path: Path) -> None:
    config = BartConfig(vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no text encoder of type 'bart'"):
        EncoderForGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "electra", "distilbert", "t5"])
def test_sdpa_and_eager_agree(family: str, tmp_path: Path) -> None:
    AutoModel.from_config(FAMILIES[family]).save_pretrained(tmp_path)
    models: list[PreTrainedModel] = []
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        model = EncoderForGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS, attn_implementation=attention)
        assert model.encoder.config._attn_implementation == attention
        models.append(model)
    mask = torch.ones_like(IDS)
    mask[0, 8:] = 0
    torch.testing.assert_close(*(model(IDS, attention_mask=mask).logits for model in models), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "modernbert", "t5"])
def test_gradient_checkpointing_gives_the_same_gradients(family: str) -> None:
    torch.manual_seed(0)
    config = EncoderEfficientGlobalPointerConfig(encoder_config=FAMILIES[family], labels=LABELS, head_dropout=0.0)
    model = EncoderForEfficientGlobalPointer(config).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model(IDS, labels=GOLD).loss.backward()
    expected = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    model.activation_checkpointing_enable()
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    model(IDS, labels=GOLD).loss.backward()
    for name, value in expected.items():
        torch.testing.assert_close(model.get_parameter(name).grad, value, rtol=1e-4, atol=1e-6)
