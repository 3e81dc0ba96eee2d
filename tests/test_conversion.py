"""Weights in the layout of each implementation, scored as that implementation defines it, in float64.

Nothing in the scores comes from the package. `Source` says where each definition was read.
"""

import os
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForTokenClassification, BertConfig, BertModel

from conftest import LABELS, make_char_tokenizer
from hf_globalpointer import BertEfficientGlobalPointerConfig, BertGlobalPointerConfig
from hf_globalpointer.conversion import LAYOUTS, ConversionError, convert_checkpoint, convert_state_dict, read_weights


Array = NDArray[np.float64]
State = dict[str, Tensor]

HIDDEN, TYPES, LENGTH = 16, len(LABELS), 9
SIZES = {
    "vocab_size": 40,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
TOKENS = torch.arange(3, 3 + LENGTH)[None]


# What the implementations call BERT's tensors.


def transformers_names(name: str) -> str:
    return name


def bert4torch_names(name: str, norms: tuple[str, str] = ("attnLayerNorm", "ffnLayerNorm")) -> str:
    """`bert4torch/models/base/modeling_base.py`, `BertBase.variable_mapping`; until 2023 the norms had numbers."""
    for theirs, ours in {
        "embeddings.segment_embeddings": "embeddings.token_type_embeddings",
        "embeddings.layerNorm": "embeddings.LayerNorm",
        "encoderLayer.": "encoder.layer.",
        "pooler.": "pooler.dense.",
        "multiHeadAttention.q": "attention.self.query",
        "multiHeadAttention.k": "attention.self.key",
        "multiHeadAttention.v": "attention.self.value",
        "multiHeadAttention.o": "attention.output.dense",
        norms[0]: "attention.output.LayerNorm",
        "feedForward.intermediateDense": "intermediate.dense",
        "feedForward.outputDense": "output.dense",
        norms[1]: "output.LayerNorm",
    }.items():
        name = name.replace(ours, theirs)
    return name


def numbered_bert4torch_names(name: str) -> str:
    return bert4torch_names(name, ("layerNorm1", "layerNorm2"))


def google_names(name: str) -> str:
    """`bert4keras/models.py`, `BERT.variable_mapping`."""
    for theirs, ours in {"LayerNorm/gamma": "LayerNorm.weight", "LayerNorm/beta": "LayerNorm.bias"}.items():
        name = name.replace(ours, theirs)
    name = name.removesuffix(".weight") if "_embeddings" in name else name.replace(".weight", "/kernel")
    return name.replace("encoder.layer.", "encoder.layer_").replace(".", "/")


# What the implementations make of a head: scores [E, n, n] of hidden states [n, H].


def rotated(vectors: Array, positions: Array) -> Array:
    """Turn each pair (x, y) of neighbors in vectors `(n, ..., d)`: (x cos - y sin, y cos + x sin)."""
    size = vectors.shape[-1]
    turned = np.empty_like(vectors)
    for pair in range(size // 2):
        angle = positions * 10000.0 ** (-2 * pair / size)
        x, y = vectors[..., 2 * pair], vectors[..., 2 * pair + 1]
        turned[..., 2 * pair] = x * np.cos(angle) - y * np.sin(angle)
        turned[..., 2 * pair + 1] = y * np.cos(angle) + x * np.sin(angle)
    return turned


def full_scores(hidden: Array, head: Mapping[str, Array], rotates_by: str = "position") -> Array:
    """All alike: the outputs are cut into a piece for each type, which is cut into query and key."""
    outputs = hidden @ head["dense.weight"].T + head["dense.bias"]
    scores = []
    for index, piece in enumerate(np.split(outputs, TYPES, axis=1)):
        query, key = np.split(piece, 2, axis=1)
        if rotates_by != "nothing":
            positions = np.arange(len(hidden)) if rotates_by == "position" else np.full(len(hidden), index)
            query, key = rotated(query, positions), rotated(key, positions)
        scores.append(query @ key.T / query.shape[1] ** 0.5)
    return np.stack(scores)


def efficient_scores(
    hidden: Array,
    head: Mapping[str, Array],
    first: str,
    second: str,
    *,
    even_odd: bool,
    half: bool,
    eq_6: bool = False,
) -> Array:
    """Even columns are the query, and even biases the ends; or halves, and the first bias of a type is the start."""
    outputs = hidden @ head[f"{first}.weight"].T + head[f"{first}.bias"]
    query, key = (outputs[:, 0::2], outputs[:, 1::2]) if even_odd else np.split(outputs, 2, axis=1)
    positions = np.arange(len(hidden))
    product = rotated(query, positions) @ rotated(key, positions).T / query.shape[1] ** 0.5
    bias = (hidden if eq_6 else outputs) @ head[f"{second}.weight"].T + head[f"{second}.bias"]
    if half:
        bias = bias / 2
    scores = []
    for index in range(TYPES):
        with_first, with_last = bias[:, 2 * index], bias[:, 2 * index + 1]
        if even_odd:
            with_first, with_last = with_last, with_first
        scores.append(product + with_first[:, None] + with_last[None, :])
    return np.stack(scores)


@dataclass(frozen=True)
class Source:
    """A kind of checkpoint: the file its definition was read in, how it names and shapes tensors, what it scores."""

    read_in: str
    layout: str | None
    encoder_names: Callable[[str], str]
    encoder_prefix: str
    head_prefix: str
    shapes: dict[str, tuple[int, int]]
    scores: Callable[[Array, Mapping[str, Array]], Array]
    use_rope: bool = True

    @property
    def keras(self) -> bool:
        return self.encoder_names is google_names

    def head_name(self, name: str) -> str:
        return self.head_prefix + (name.replace(".weight", "/kernel").replace(".", "/") if self.keras else name)


def full(read_in: str, names: Callable[[str], str], encoder: str, head: str, rotates_by: str = "position") -> Source:
    def scores(hidden: Array, tensors: Mapping[str, Array]) -> Array:
        return full_scores(hidden, tensors, rotates_by)

    shapes = {"dense": (TYPES * 2 * 8, HIDDEN)}
    return Source(read_in, None, names, encoder, head, shapes, scores, use_rope=rotates_by == "position")


def efficient(
    read_in: str, layout: str, names: Callable[[str], str], encoder: str, head: str, first: str, second: str, size: int
) -> Source:
    even_odd, half, eq_6 = not layout.startswith("bert4torch"), layout != "bert4torch-unhalved", layout == "xhw205"

    def scores(hidden: Array, tensors: Mapping[str, Array]) -> Array:
        return efficient_scores(hidden, tensors, first, second, even_odd=even_odd, half=half, eq_6=eq_6)

    shapes = {first: (2 * size, HIDDEN), second: (2 * TYPES, HIDDEN if eq_6 else 2 * size)}
    return Source(read_in, layout, names, encoder, head, shapes, scores)


KERAS = "bojone/bert4keras: bert4keras/layers.py"
TORCH = "Tongjilibo/bert4torch: bert4torch/layers/global_point.py"
OLD_TORCH = "Tongjilibo/bert4torch: bert4torch/layers.py, 2022"
GAOHONGKUI = "gaohongkui/GlobalPointer_pytorch: models/GlobalPointer.py"
POWERYCY = "powerycy/Efficient-GlobalPointer: model/model.py"
JUNNYU = "JunnYu/GPLinker_pytorch: models.py, EfficientGlobalPointer"
XHW205 = "xhw205/Efficient-GlobalPointer-torch: models/GlobalPointer.py"
SOURCES = {
    "bert4keras, full": full(KERAS, google_names, "bert/", "global_pointer/"),
    "bert4torch, full": full(TORCH, bert4torch_names, "bert.", "global_pointer."),
    "bert4torch, full, until 0.2.7": full(
        OLD_TORCH, numbered_bert4torch_names, "bert.", "global_pointer.", rotates_by="type"
    ),
    "trained without rotation": full(KERAS, google_names, "bert/", "", rotates_by="nothing"),
    "gaohongkui": full(GAOHONGKUI, transformers_names, "encoder.", ""),
    "bert4keras": efficient(
        KERAS, "bert4keras", google_names, "bert/", "efficient_global_pointer/", "p_dense", "q_dense", 4
    ),
    "powerycy": efficient(
        POWERYCY, "bert4keras", transformers_names, "bert.", "globalpointer.", "linear_1", "linear_2", 8
    ),
    "JunnYu": efficient(
        JUNNYU, "bert4keras", transformers_names, "module.bert.", "module.entity_output.", "dense1", "dense2", 4
    ),
    # 2d is the hidden size here: no shape tells eq. 6 from eq. 7.
    "xhw205": efficient(XHW205, "xhw205", transformers_names, "encoder.", "", "dense_1", "dense_2", 8),
    "bert4torch": efficient(
        TORCH, "bert4torch", bert4torch_names, "bert.", "global_pointer.", "p_dense", "q_dense", 8
    ),
    "bert4torch until 0.2.3": efficient(
        OLD_TORCH,
        "bert4torch-unhalved",
        numbered_bert4torch_names,
        "bert.",
        "global_pointer.",
        "p_dense",
        "q_dense",
        8,
    ),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


@pytest.fixture(scope="module")
def bert() -> BertModel:
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES), add_pooling_layer=True).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("LayerNorm.weight") else 0.0, std=0.3)
    return model


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with configuration and tokenizer, and no weights."""
    folder = tmp_path_factory.mktemp("encoder")
    BertConfig(**SIZES).save_pretrained(folder)
    make_char_tokenizer().save_pretrained(folder)
    return folder


def weights_of(source: Source, bert: BertModel) -> tuple[State, dict[str, Array]]:
    """A checkpoint as the implementation would write it, and its random head by the names it has there."""
    generator = torch.Generator().manual_seed(1)
    state, head = {}, {}
    for name, tensor in bert.state_dict().items():
        state[source.encoder_prefix + source.encoder_names(name)] = tensor
    for layer, shape in source.shapes.items():
        for name, size in ((f"{layer}.weight", shape), (f"{layer}.bias", shape[:1])):
            tensor = torch.randn(size, generator=generator) * 0.5
            head[name] = tensor.double().numpy()
            state[source.head_name(name)] = tensor
    if source.keras:
        state = {name: tensor.T if name.endswith("kernel") else tensor for name, tensor in state.items()}
    return {name: tensor.contiguous() for name, tensor in state.items()}, head


def expected_scores(source: Source, bert: BertModel, head: Mapping[str, Array]) -> Array:
    with torch.no_grad():
        hidden = bert.double()(TOKENS).last_hidden_state[0].numpy()
    bert.float()
    return source.scores(hidden, head)[:, *np.triu_indices(LENGTH)]


def scores_of(folder: Path) -> Array:
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(TOKENS).logits[0].double().numpy()[:, *np.triu_indices(LENGTH)]


def save(state: State, folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def settings(source: Source) -> dict[str, object]:
    """What a user would give: head sizes of efficient heads are read from the weights."""
    return {"use_rope": source.use_rope} if source.layout else {"use_rope": source.use_rope, "head_size": 8}


def test_scores_are_those_of_the_implementation(
    source: Source, bert: BertModel, encoder: Path, tmp_path: Path
) -> None:
    state, head = weights_of(source, bert)
    layout = LAYOUTS[source.layout] if source.layout and not source.keras else None
    conversion = convert_checkpoint(
        save(state, tmp_path), str(encoder), LABELS, tmp_path / "out", layout, **settings(source)
    )
    expected = expected_scores(source, bert, head)
    assert expected.std(axis=1).min() > 0.5  # there is something to compare
    np.testing.assert_allclose(scores_of(tmp_path / "out"), expected, atol=1e-4)
    poolers = {name for name in state if "pooler" in name}
    assert (set(conversion.dropped), len(poolers), conversion.zeros) == (poolers, 2, [])


@pytest.mark.parametrize(
    ("name", "other"),
    [(name, other) for name, source in SOURCES.items() for other in LAYOUTS if source.layout not in (None, other)],
)
def test_another_layout_gives_other_scores_or_an_error(
    name: str, other: str, bert: BertModel, encoder: Path, tmp_path: Path
) -> None:
    source = SOURCES[name]
    state, head = weights_of(source, bert)
    weights = save(state, tmp_path)
    sizes = {shape for shapes in source.shapes.values() for shape in shapes}
    if "xhw205" in (other, source.layout) and 8 in sizes:  # 2d is not the hidden size
        with pytest.raises(ConversionError, match=r"wrong shape: .* expected"):
            convert_checkpoint(weights, str(encoder), LABELS, tmp_path / "out", LAYOUTS[other])
    else:
        convert_checkpoint(weights, str(encoder), LABELS, tmp_path / "out", LAYOUTS[other])
        assert np.abs(scores_of(tmp_path / "out") - expected_scores(source, bert, head)).max() > 0.1


def test_what_rotation_means_cannot_be_mistaken(bert: BertModel, encoder: Path, tmp_path: Path) -> None:
    source = SOURCES["bert4torch, full, until 0.2.7"]
    state, head = weights_of(source, bert)
    convert_checkpoint(save(state, tmp_path), str(encoder), LABELS, tmp_path / "out", head_size=8, use_rope=True)
    assert np.abs(scores_of(tmp_path / "out") - expected_scores(source, bert, head)).max() > 0.1


def test_an_encoder_without_segments_and_a_head_without_biases_get_zeros(
    bert: BertModel, encoder: Path, tmp_path: Path
) -> None:
    source = SOURCES["bert4torch"]
    state, head = weights_of(source, bert)
    del state["bert.embeddings.segment_embeddings.weight"]
    for layer in ("p_dense", "q_dense"):
        del state[f"global_pointer.{layer}.bias"]
        head[f"{layer}.bias"] = np.zeros_like(head[f"{layer}.bias"])
    conversion = convert_checkpoint(
        save(state, tmp_path), str(encoder), LABELS, tmp_path / "out", LAYOUTS["bert4torch"]
    )
    assert conversion.zeros == [
        "bert.embeddings.token_type_embeddings.weight",
        "classifier.dense_1.bias",
        "classifier.dense_2.bias",
    ]
    assert "not in the file, set to zero: classifier.dense_1.bias" in conversion.summary()
    without = BertModel(BertConfig(**SIZES))
    without.load_state_dict(bert.state_dict())
    torch.nn.init.zeros_(without.embeddings.token_type_embeddings.weight)
    np.testing.assert_allclose(scores_of(tmp_path / "out"), expected_scores(source, without.eval(), head), atol=1e-4)


def test_a_training_checkpoint_gives_its_state_dict_and_says_what_it_drops(bert: BertModel, tmp_path: Path) -> None:
    source = SOURCES["gaohongkui"]
    state, _ = weights_of(source, bert)
    more = {
        "encoder.embeddings.position_ids": torch.arange(40)[None],
        "cls.predictions.bias": torch.zeros(40),
        "cls.predictions.transform.dense.weight": torch.zeros(16, 16),
        "position_embedding.cos_position": torch.zeros(512, 8),
    }
    path = tmp_path / "last.ckpt"
    optimizer = torch.optim.AdamW(bert.parameters()).state_dict()
    torch.save({"epoch": 3, "state_dict": {**state, **more}, "optimizer": optimizer}, path)
    tensors, dropped = read_weights(path)
    assert (set(tensors), dropped) == (set(state) | set(more), ["epoch", "optimizer"])
    config = BertGlobalPointerConfig(**SIZES, head_size=8, labels=LABELS)
    conversion = convert_state_dict(tensors, config)
    assert set(conversion.dropped) == {*more, "encoder.pooler.dense.weight", "encoder.pooler.dense.bias"}
    assert all(f"dropped: {name}" in conversion.summary() for name in more)


# What does not fit is named tensor by tensor.


def bad_state(bert: BertModel) -> State:
    return weights_of(SOURCES["powerycy"], bert)[0]


def convert_powerycy(state: State, labels: list[str] = LABELS) -> None:
    config = BertEfficientGlobalPointerConfig(**SIZES, head_size=8, labels=labels)
    convert_state_dict(state, config, LAYOUTS["bert4keras"])


def test_everything_that_does_not_fit_is_named_at_once(bert: BertModel) -> None:
    state = bad_state(bert)
    del state["bert.encoder.layer.1.attention.self.key.bias"]
    state["lstm.weight"] = torch.zeros(3, 4)
    state["bert.embeddings.word_embeddings.weight"] = torch.zeros(41, 16)
    state["other.linear_1.weight"] = torch.zeros(16, 16)
    with pytest.raises(ConversionError) as error:
        convert_powerycy(state)
    assert str(error.value).splitlines() == [
        "the weights do not fit:",
        "  unexpected: lstm.weight (3, 4)",
        "  duplicate: globalpointer.linear_1.weight and other.linear_1.weight are both classifier.dense_1.weight",
        "  wrong shape: bert.embeddings.word_embeddings.weight is (41, 16), expected (40, 16)",
        "  missing: bert.encoder.layer.1.attention.self.key.bias (16,)",
    ]


def test_labels_must_be_as_many_as_the_weights_hold(bert: BertModel, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="the weights hold 3 entity types, but 2 labels are given"):
        convert_powerycy(bad_state(bert), LABELS[:2])
    weights = save(weights_of(SOURCES["gaohongkui"], bert)[0], tmp_path)
    with pytest.raises(ConversionError, match="hold 3 entity types of head size 8, but 4 labels are given"):
        convert_checkpoint(weights, str(encoder), [*LABELS, "more"], tmp_path / "out", head_size=8)
    with pytest.raises(ConversionError, match=r"no whole number of entity types \(48 / 128\) of head size 64"):
        convert_checkpoint(weights, str(encoder), LABELS, tmp_path / "out")


def test_shapes_of_keras_are_told_as_they_stand_in_the_file(bert: BertModel) -> None:
    state, _ = weights_of(SOURCES["bert4keras"], bert)
    state["bert/encoder/layer_0/intermediate/dense/kernel"] = torch.zeros(24, 16)
    config = BertEfficientGlobalPointerConfig(**SIZES, head_size=4, labels=LABELS)
    with pytest.raises(ConversionError, match=r"intermediate/dense/kernel is \(24, 16\), expected \(16, 24\)"):
        convert_state_dict(state, config)


def test_a_layout_is_asked_for_where_nothing_tells_it(bert: BertModel) -> None:
    config = BertEfficientGlobalPointerConfig(**SIZES, head_size=8, labels=LABELS)
    with pytest.raises(ConversionError, match=r"give the layout .*bert4keras \(.*powerycy\); xhw205"):
        convert_state_dict(bad_state(bert), config)
    with pytest.raises(ConversionError, match="xhw205 has the span representation 'hidden'"):
        convert_state_dict(bad_state(bert), config, LAYOUTS["xhw205"])


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_malicious_pickle_is_refused_and_runs_nothing(
    write: Callable[[object, Path], object], tmp_path: Path
) -> None:
    path, trap = tmp_path / "weights.pt", tmp_path / "trap"
    write({"weight": torch.zeros(2), "trap": Malicious(trap)}, path)
    with pytest.raises(ConversionError, match="could run code") as error:
        read_weights(path)
    assert not trap.exists()
    assert "weights_only" not in str(error.value)
    with suppress(RuntimeError, pickle.UnpicklingError):
        torch.load(path, weights_only=False)
    assert trap.exists()  # so it would have run


@pytest.mark.parametrize("name", ["text.pt", "text.safetensors", "empty.pt"])
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("" if "empty" in name else "hello, world")
    with pytest.raises(ConversionError, match="neither a safetensors file nor a PyTorch file"):
        read_weights(tmp_path / name)
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ConversionError, match="holds no state dict"):
        read_weights(tmp_path / "list.pt")
