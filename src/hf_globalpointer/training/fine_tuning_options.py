"""The options of a fine-tuning: their defaults where these depend on data and encoder, and their checks."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from transformers.integrations import get_reporting_integration_callbacks

from ..modeling.span_decoding import Overlap


Head = Literal["efficient", "full"]

_COUNTS = ("epochs", "batch_size", "gradient_accumulation", "patience", "max_length")
_CHOICES = {"head": get_args(Head), "overlap": (None, *get_args(Overlap))}
_RATES = ("encoder_lr", "head_lr")


def default_epochs(steps: int) -> int:
    """The epochs that training takes unless told otherwise: so many that there are 800 steps, from 10 to 40.

    Args:
        steps (`int`): The optimizer's steps of one epoch.
    """
    return min(max(math.ceil(800 / steps), 10), 40)


def default_encoder_lr(hidden_size: int) -> float:
    """The peak learning rate of an encoder unless told otherwise: 5e-5, or 1e-4 of a small one (under 512)."""
    return 1e-4 if hidden_size < 512 else 5e-5


def check_options(options: Mapping[str, Any], report_to: str, model_id: str | None) -> None:
    """Check what is given to [`fine_tune`].

    Args:
        options (`Mapping[str, Any]`): Those that make a difference to the model.
        report_to (`str`): The tracker of the training.
        model_id (`str`, *optional*): The Hub id of the model.

    Raises:
        ValueError: If one has a value that it cannot have.
    """
    _check_numbers(options)
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            raise ValueError(f"`{name}` must be one of {', '.join(filter(None, choices))}, got {options[name]}.")
    if model_id is not None and "/" not in model_id:
        raise ValueError(f"`model_id` must be a Hub id, such as org/name, got {model_id}.")
    _check_tracker(report_to)


def _check_numbers(options: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        if options[name] is not None and options[name] < 1:
            raise ValueError(f"`{name}` must be at least 1, got {options[name]}.")
    for name in _RATES:
        if options[name] is not None and not 0 < options[name] < math.inf:
            raise ValueError(f"`{name}` must be greater than 0, got {options[name]}.")
    if not 0 <= options["joined"] < math.inf:
        raise ValueError(f"`joined` must be a finite number, 0 or more, got {options['joined']}.")


def _check_tracker(name: str) -> None:
    """Raise a `ValueError` where the training cannot be reported to a tracker: it is unknown, or not installed."""
    try:
        for tracker in get_reporting_integration_callbacks(name):
            tracker()
    except (ImportError, RuntimeError, ValueError) as error:
        raise ValueError(f"`report_to` cannot be {name!r}: {error}") from error
