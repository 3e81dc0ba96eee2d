"""What a fine-tuning starts from: labeled texts, a pretrained encoder, and the features of the texts for it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from transformers import (
    AutoConfig,
    AutoTokenizer,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ..data import DataError, Example, ExampleDataset, find_span_rules, read_examples
from ..data.examples import check_labels
from ..modeling import modeling_global_pointer as models
from ..modeling.token_windows import window_size
from ..registration import register
from .loading import loading


logger = logging.get_logger(__name__)

Examples = str | os.PathLike[str] | Sequence[Example]

_BERT_CLASSES = {"efficient": models.BertForEfficientGlobalPointer, "full": models.BertForGlobalPointer}
_OTHER_CLASSES = {"efficient": models.EncoderForEfficientGlobalPointer, "full": models.EncoderForGlobalPointer}


def read_splits(train: Examples, dev: Examples, test: Examples | None) -> dict[str, list[Example]]:
    """All examples by split.

    Args:
        train (`str`, `os.PathLike` or `Sequence[Example]`): Training examples, or their file.
        dev (`str`, `os.PathLike` or `Sequence[Example]`): Examples to choose the best epoch by.
        test (`str`, `os.PathLike` or `Sequence[Example]`, *optional*): Examples for a final test.

    Raises:
        DataError: If examples cannot be read, train or dev has no entity, or a label is none of train's.
    """
    given = {"train": train, "dev": dev} | ({} if test is None else {"test": test})
    splits = {}
    for name, source in given.items():
        splits[name] = list(read_examples(source) if isinstance(source, str | os.PathLike) else source)
    purposes = {"train": "there is nothing to learn", "dev": "there is nothing to choose the best epoch by"}
    for name, purpose in purposes.items():
        if not any(example.entities for example in splits[name]):
            source = given[name]
            place = source if isinstance(source, str | os.PathLike) else name
            raise DataError(f"{place}: no example holds an entity; {purpose}.")
    if splits["dev"] == splits["train"]:
        logger.warning("dev has the examples of train: it cannot tell which epoch is best on other texts.")
    labels = _labels(splits["train"])
    for examples in splits.values():
        check_labels(examples, labels, "the training data's labels")
    return splits


def load_encoder(
    encoder: str, train: Sequence[Example], options: Mapping[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A new model on a pretrained encoder, with the labels of the training data; and its tokenizer.

    It is of BERT's own class where the encoder is a BERT, and of that for any encoder otherwise.

    Args:
        encoder (`str`): Folder or Hub id of the encoder.
        train (`Sequence[Example]`): The training examples.
        options (`Mapping[str, Any]`): Those of [`fine_tune`].

    Raises:
        OSError: If the encoder cannot be loaded.
        ValueError: If a field of the configuration cannot have its value.
    """
    register()
    overrides = options["config_overrides"]
    given: dict[str, Any] = {"labels": _labels(train), **overrides, "word_aligned": options["word_aligned"]}
    with loading("encoder", encoder):
        tokenizer = AutoTokenizer.from_pretrained(encoder)
        encoder_config = AutoConfig.from_pretrained(encoder)
    is_bert = encoder_config.model_type == "bert"
    model_class = (_BERT_CLASSES if is_bert else _OTHER_CLASSES)[options["head"]]
    _check_fields(overrides, model_class.config_class, encoder_config)
    with loading("encoder", encoder), _errors_only():
        load = model_class.from_pretrained if is_bert else model_class.from_encoder_pretrained
        network, info = load(encoder, output_loading_info=True, **given)
    if missing := sorted(key for key in info["missing_keys"] if not key.startswith("classifier.")):
        logger.warning(f"{encoder} lacks weights of the encoder, which are newly initialized: {', '.join(missing)}.")
    return network, tokenizer


def encode_splits(
    splits: Mapping[str, Sequence[Example]],
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    options: Mapping[str, Any],
) -> dict[str, ExampleDataset]:
    """The features of all examples, by the rules of the training data, which the model's configuration takes on.

    Args:
        splits (`Mapping[str, Sequence[Example]]`): Examples by split.
        network (`PreTrainedModel`): The model.
        tokenizer (`PreTrainedTokenizerBase`): Its tokenizer.
        options (`Mapping[str, Any]`): Those of [`fine_tune`], which go before the rules.

    Raises:
        ValueError: If there can be no windows of the length that is asked for.
    """
    config = network.config
    rules = find_span_rules(splits["train"], tokenizer, network.max_positions())
    logger.info(f"Rules of the data: {rules.summary()}")
    rules.apply(config)
    config.update({**options["config_overrides"], "word_aligned": options["word_aligned"]})
    config.update({name: options[name] for name in ("overlap", "max_length") if options[name] is not None})
    config.validate()
    # Raises an error where windows of this length are impossible.
    window_size(tokenizer, network.max_positions(), config.max_length)
    data = {}
    for name, examples in splits.items():
        joined = options["joined"] if name == "train" else 0.0
        data[name] = ExampleDataset(examples, tokenizer, config, joined, options["seed"])
        logger.info(f"{name} examples: {len(examples)}; {data[name].report.summary()}")
    return data


def _check_fields(
    overrides: Mapping[str, Any], config_class: type[PreTrainedConfig], encoder_config: PreTrainedConfig
) -> None:
    """Raise a `ValueError` where there is no such field, of the head or of the encoder."""
    names = {field.name for field in fields(config_class)}
    if unknown := sorted(overrides.keys() - names - encoder_config.to_dict().keys() - {"attn_implementation"}):
        own = sorted(names - {field.name for field in fields(BertConfig)})
        raise ValueError(
            f"`config_overrides` has {', '.join(unknown)}, which {config_class.__name__} has not; fields of the head "
            f"are {', '.join(own)}."
        )


def _labels(examples: Sequence[Example]) -> list[str]:
    return sorted({entity.label for example in examples for entity in example.entities})


@contextmanager
def _errors_only() -> Iterator[None]:
    """Without the report of Transformers on weights of the head, which are new."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
