from typing import Any

import pytest

from hf_globalpointer.training.fine_tuning_options import check_options, default_encoder_lr, default_epochs


GOOD: dict[str, Any] = {
    "head": "full",
    "epochs": None,
    "encoder_lr": None,
    "head_lr": 1e-3,
    "batch_size": 1,
    "gradient_accumulation": 1,
    "patience": None,
    "joined": 0.0,
    "overlap": None,
    "max_length": 1,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"head": "large"}, "`head` must be one of efficient, full, got large"),
        ({"overlap": "some"}, "`overlap` must be one of all, nested, flat, got some"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"gradient_accumulation": 0}, "`gradient_accumulation` must be at least 1, got 0"),
        ({"patience": -1}, "`patience` must be at least 1, got -1"),
        ({"max_length": 0}, "`max_length` must be at least 1, got 0"),
        ({"encoder_lr": 0.0}, "`encoder_lr` must be greater than 0, got 0"),
        ({"head_lr": float("nan")}, "`head_lr` must be greater than 0, got nan"),
        ({"joined": -1.0}, "`joined` must be a finite number, 0 or more, got -1.0"),
        ({"joined": float("inf")}, "`joined` must be a finite number, 0 or more, got inf"),
    ],
)
def test_values_that_an_option_cannot_have(changed: dict[str, Any], message: str) -> None:
    check_options(GOOD, "none", None)
    with pytest.raises(ValueError, match=message):
        check_options(GOOD | changed, "none", None)


def test_names_that_cannot_be_used() -> None:
    check_options(GOOD, "tensorboard", "org/name")
    with pytest.raises(ValueError, match="`model_id` must be a Hub id, such as org/name, got name"):
        check_options(GOOD, "none", "name")
    with pytest.raises(ValueError, match="`report_to` cannot be 'nowhere': nowhere is not supported"):
        check_options(GOOD, "nowhere", None)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 40), (19, 40), (20, 40), (27, 30), (80, 10), (1000, 10)])
def test_epochs_make_up_800_steps_within_bounds(steps: int, epochs: int) -> None:
    assert default_epochs(steps) == epochs


def test_a_small_encoder_learns_faster() -> None:
    assert [default_encoder_lr(size) for size in (384, 511, 512, 768)] == [1e-4, 1e-4, 5e-5, 5e-5]
