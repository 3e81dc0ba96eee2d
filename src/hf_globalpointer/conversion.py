"""Checkpoints of other GlobalPointer implementations, turned into those of this package.

Names. The tensors of a file are known by their names, wherever the encoder and the head stand in it:

- BERT as Transformers names it, under any prefix: gaohongkui/GlobalPointer_pytorch, xhw205/GlobalPointer_torch and
  Efficient-GlobalPointer-torch, powerycy/Efficient-GlobalPointer, JunnYu/GPLinker_pytorch.
- BERT as bert4torch names it (`encoderLayer.0.multiHeadAttention.q`), in its older and its newer form.
- BERT as Google names it (`bert/encoder/layer_0/attention/self/query/kernel`), for bert4keras. Keras numbers the
  weights in its own files anew in every session (`dense_77/kernel`), so that those names say nothing; the names of
  Google are what bert4keras itself maps its layers to (`variable_mapping`). The head goes by the attributes of its
  layer: `dense`, or `p_dense` and `q_dense`, each with `/kernel` and `/bias`. A kernel is `[in, out]`.

Meaning. All of them agree on GlobalPointer: for each type d rows of the query, then d of the key, rotated in pairs
(2i, 2i+1), and the product divided by sqrt(d). In Efficient GlobalPointer the same tensors mean different things,
which neither names nor shapes tell: see [`Layout`].

What cannot be converted: heads whose rotation pairs (2i, 2i+1) but gives the two different angles, because a table
was repeated as a whole (`repeat`) instead of element by element, so that scores depend on more than the distance of
two tokens: Sanster/global_pointer, and bert4torch before April 2022. Nothing in their files shows it. Trained with
RoPE=False, they can be converted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedConfig

from .modeling.configuration_global_pointer import BertEfficientGlobalPointerConfig, BertGlobalPointerConfig
from .registration import MODELS
from .weight_layouts import KNOWN_LAYOUTS, LAYOUTS, Layout


class ConversionError(ValueError):
    """Weights that cannot be converted; the message names every tensor that does not fit."""


# One after the other; what no pattern knows stays as it is.
_RENAMES = (
    # Google's BERT
    (r":0$", ""),
    (r"/", "."),
    (r"\bencoder\.layer_(\d+)\.", r"encoder.layer.\1."),
    (r"\b(word|position|token_type)_embeddings$", r"\1_embeddings.weight"),
    (r"\.(kernel|gamma)$", ".weight"),
    (r"\.beta$", ".bias"),
    # bert4torch
    (r"\bsegment_embeddings\.", "token_type_embeddings."),
    (r"\bembeddings\.layerNorm\.", "embeddings.LayerNorm."),
    (r"\bencoderLayer\.(\d+)\.", r"encoder.layer.\1."),
    (r"\bmultiHeadAttention\.q\.", "attention.self.query."),
    (r"\bmultiHeadAttention\.k\.", "attention.self.key."),
    (r"\bmultiHeadAttention\.v\.", "attention.self.value."),
    (r"\bmultiHeadAttention\.o\.", "attention.output.dense."),
    (r"\b(layerNorm1|attnLayerNorm)\.", "attention.output.LayerNorm."),
    (r"\bfeedForward\.intermediateDense\.", "intermediate.dense."),
    (r"\bfeedForward\.outputDense\.", "output.dense."),
    (r"\b(layerNorm2|ffnLayerNorm)\.", "output.LayerNorm."),
    # heads
    (r"\b(p_dense|dense1|linear_1)\.", "dense_1."),
    (r"\b(q_dense|dense2|linear_2)\.", "dense_2."),
)
_ANCHOR = "embeddings.word_embeddings.weight"
# Poolers, the heads of pretraining, and tables that are computed anew.
_NOT_NEEDED = re.compile(
    r"(^|\.)(pooler|cls|nsp|mlm(Dense|LayerNorm|Decoder|Bias))(\.|$)"
    r"|(^|\.)(position_ids|token_type_ids)$|(^|\.)position_embedding\.(cos|sin)_position$"
)
# bert4keras and bert4torch build encoders without segments and heads without biases; adding zeros is the same.
_ZERO_WHERE_ABSENT = re.compile(r"\.token_type_embeddings\.weight$|^classifier\..*bias$")


@dataclass(frozen=True)
class Conversion:
    """Converted weights, and what became of the file's.

    Args:
        state_dict (`dict[str, torch.Tensor]`): The state dict of the model.
        dropped (`list[str]`): What the file holds and the model does not need.
        zeros (`list[str]`): What the model needs and the implementation does not have: set to zero.
    """

    state_dict: dict[str, Tensor]
    dropped: list[str]
    zeros: list[str]

    def summary(self) -> str:
        """One line with the number of tensors, then a line for each one dropped or set to zero."""
        lines = [f"{len(self.state_dict) - len(self.zeros)} tensors converted."]
        lines += [f"  dropped: {name}" for name in self.dropped]
        lines += [f"  not in the file, set to zero: {name}" for name in self.zeros]
        return "\n".join(lines)


def convert_checkpoint(
    weights: str | PathLike[str],
    encoder: str,
    labels: Sequence[str],
    output: str | PathLike[str],
    layout: Layout | None = None,
    head_size: int | None = None,
    use_rope: bool = True,
) -> Conversion:
    """Convert a file of weights and save it as a checkpoint, with the encoder's tokenizer.

    Args:
        weights (`str` or `os.PathLike`): A PyTorch state dict or a safetensors file.
        encoder (`str`): Folder or Hub id of the BERT whose configuration and tokenizer go with the weights.
        labels (`Sequence[str]`): The entity types in the order of the weights.
        output (`str` or `os.PathLike`): The folder to save to.
        layout (`Layout`, *optional*): Of an Efficient GlobalPointer; not needed where the names tell it.
        head_size (`int`, *optional*):
            d; by default, as the weights of Efficient GlobalPointer say, and for GlobalPointer, where they do not, 64.
        use_rope (`bool`, *optional*, defaults to `True`):
            Whether the model rotates, which no weights tell. Where bert4torch's GlobalPointer rotated by type instead
            of by position (before 0.2.7.post2, its issue 102), this had no effect: give `False` for it.

    Raises:
        ConversionError: If the file cannot be read, or does not fit the encoder and the labels.
    """
    state, left_out = read_weights(Path(weights))
    config_class: type[PreTrainedConfig] = BertGlobalPointerConfig
    settings = {"labels": list(labels), "use_rope": use_rope, "head_size": head_size or 64}
    first = _first_projection(state)
    if first is not None:
        layout = layout or _layout_of_names(state)
        config_class = BertEfficientGlobalPointerConfig
        settings["span_representation"] = layout.span_representation
        settings["head_size"] = head_size or _oriented(first, state[first].shape)[0] // 2
    try:
        config = config_class.from_pretrained(encoder, **settings)
        config.validate()
    except StrictDataclassError as error:
        raise ConversionError(f"no configuration can be made for {weights}: {error}") from error
    conversion = convert_state_dict(state, config, layout)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = MODELS[type(config)](config)
    model.load_state_dict(conversion.state_dict)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    return replace(conversion, dropped=left_out + conversion.dropped)


def read_weights(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read a file of weights, without running anything that it may hold.

    Returns:
        The tensors by name; and, where the state dict is part of a training checkpoint, the names of its other parts.

    Raises:
        ConversionError: If there is no such file, or it is neither of safetensors nor a PyTorch file of plain tensors.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: no such file; check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path), []
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Reading runs into errors of every class; that of torch.load would advise to read the file unsafely.
        raise ConversionError(
            f"{path}: not read, because it is neither a safetensors file nor a PyTorch file of plain tensors. Other "
            "objects in a PyTorch file could run code: save `model.state_dict()`; weights of Keras must be exported."
        ) from error
    left_out: list[str] = []
    if isinstance(content, Mapping):
        for name in ("state_dict", "model_state_dict", "model"):
            if isinstance(content.get(name), Mapping):
                left_out = [str(other) for other in content if other != name]
                content = content[name]
                break
        if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
            return dict(content), left_out
    raise ConversionError(f"{path}: holds no state dict, which is a dictionary of tensors by name.")


def convert_state_dict(
    state: Mapping[str, Tensor], config: PreTrainedConfig, layout: Layout | None = None
) -> Conversion:
    """Turn the tensors of another implementation into the state dict of the model of `config`.

    Args:
        state (`Mapping[str, torch.Tensor]`): The tensors by the names described above.
        config (`BertGlobalPointerConfig` or `BertEfficientGlobalPointerConfig`): With labels and head size.
        layout (`Layout`, *optional*): Of an Efficient GlobalPointer; not needed where the names tell it.

    Raises:
        ConversionError: If the layout is needed and not given, or is not that of `config`, or a tensor is missing,
            unexpected or of another shape: all of them are named.
    """
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in MODELS[type(config)](config).state_dict().items()}
    sources, dropped, problems = _match(state, expected)
    problems = _wrong_number_of_types(state, sources, config) + problems
    zeros = []
    for name, shape in expected.items():
        if name in sources:
            source = sources[name]
            found, wanted = tuple(state[source].shape), _oriented(source, shape)
            if found != wanted:
                problems.append(f"wrong shape: {source} is {found}, expected {wanted}")
        elif _ZERO_WHERE_ABSENT.search(name):
            zeros.append(name)
        else:
            problems.append(f"missing: {name} {shape}")
    if problems:
        raise ConversionError("\n  ".join(["the weights do not fit:", *problems]))

    converted = {name: torch.zeros(expected[name]) for name in zeros}
    for name, source in sources.items():
        converted[name] = state[source].T.contiguous() if _is_kernel(source) else state[source]
    if isinstance(config, BertEfficientGlobalPointerConfig):
        _rearrange(converted, config, layout or _layout_of_names(state))
    return Conversion({name: converted[name] for name in expected}, dropped, zeros)


def _match(
    state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, str], list[str], list[str]]:
    """Find the tensor of the file for every name expected; also those to drop, and what is wrong with the others."""
    renamed = {name: _transformers_name(name) for name in state}
    prefix = next((name.removesuffix(_ANCHOR) for name in renamed.values() if name.endswith(_ANCHOR)), "")
    sources: dict[str, str] = {}
    dropped, problems = [], []
    for source, name in renamed.items():
        target = f"bert.{name.removeprefix(prefix)}"
        if not name.startswith(prefix) or target not in expected:
            if _NOT_NEEDED.search(name):
                dropped.append(source)
                continue
            target = "classifier." + ".".join(name.split(".")[-2:])
        if target not in expected:
            problems.append(f"unexpected: {source} {tuple(state[source].shape)}")
        elif target in sources:
            problems.append(f"duplicate: {sources[target]} and {source} are both {target}")
        else:
            sources[target] = source
    return sources, dropped, problems


def _wrong_number_of_types(
    state: Mapping[str, Tensor], sources: Mapping[str, str], config: PreTrainedConfig
) -> list[str]:
    """One sentence if the weights are for another number of entity types than there are labels."""
    efficient = isinstance(config, BertEfficientGlobalPointerConfig)
    source = sources.get("classifier.dense_2.weight" if efficient else "classifier.dense.weight")
    if source is None:
        return []
    rows, size = _oriented(source, state[source].shape)[0], 2 if efficient else 2 * config.head_size
    if rows == size * config.num_labels:
        return []
    held = f"{rows // size} entity types" if rows % size == 0 else f"no whole number of entity types ({rows} / {size})"
    of_size = "" if efficient else f" of head size {config.head_size}"
    return [f"the weights hold {held}{of_size}, but {config.num_labels} labels are given"]


def _rearrange(tensors: dict[str, Tensor], config: BertEfficientGlobalPointerConfig, layout: Layout) -> None:
    """Bring the head of an Efficient GlobalPointer in `tensors` into this package's order."""
    if layout.span_representation != config.span_representation:
        raise ConversionError(
            f"the layout {layout.name} has the span representation {layout.span_representation!r}, "
            f"but the configuration has {config.span_representation!r}."
        )
    weight_1, bias_1, weight_2, bias_2 = names = [
        f"classifier.{layer}.{part}" for layer in ("dense_1", "dense_2") for part in ("weight", "bias")
    ]
    if layout.query_and_key == "alternating":
        order = torch.arange(2 * config.head_size).view(-1, 2).T.flatten()
        tensors[weight_1], tensors[bias_1] = tensors[weight_1][order], tensors[bias_1][order]
        if layout.span_representation == "query_key":
            tensors[weight_2] = tensors[weight_2][:, order]
    if layout.end_first:
        order = torch.arange(2 * config.num_labels).view(-1, 2).flip(1).flatten()
        tensors[weight_2], tensors[bias_2] = tensors[weight_2][order], tensors[bias_2][order]
    if not layout.halved:
        # The model halves them.
        for name in names[2:]:
            tensors[name] = 2 * tensors[name]


def _layout_of_names(state: Mapping[str, Tensor]) -> Layout:
    """The layout, where it can be told: kernels are of Keras, and bert4keras has but one."""
    if any(_is_kernel(name) for name in state):
        return LAYOUTS["bert4keras"]
    raise ConversionError(
        "what the tensors of an Efficient GlobalPointer mean can be told neither from their names nor from their "
        f"shapes; give the layout of the implementation that trained it: {KNOWN_LAYOUTS}."
    )


def _first_projection(state: Mapping[str, Tensor]) -> str | None:
    """The name of the first matrix of an Efficient GlobalPointer, if it is one."""
    return next((name for name in state if re.search(r"\bdense_1\.weight$", _transformers_name(name))), None)


def _transformers_name(name: str) -> str:
    """What Transformers, or this package, calls what is called so elsewhere; a prefix stays."""
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _is_kernel(name: str) -> bool:
    """Whether a tensor is a matrix of Keras, `[in, out]`."""
    return name.removesuffix(":0").endswith("kernel")


def _oriented(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of PyTorch as that of the tensor `name`, or the other way round."""
    return tuple(reversed(shape)) if _is_kernel(name) else tuple(shape)
