import pytest

from hf_globalpointer.cli.common import InputError, parse_thresholds, thresholds_of


def test_thresholds_of_labels_go_before_that_of_all_others() -> None:
    given = parse_thresholds(["0.4", "person=0.7", "a=b=0.9"])
    assert given == {"": 0.4, "person": 0.7, "a=b": 0.9}
    assert thresholds_of(["date", "person"], given) == {"date": 0.4, "person": 0.7, "a=b": 0.9}
    assert thresholds_of(["date", "person"], {"person": 0.7}) == {"person": 0.7}
    assert thresholds_of(["date"], {}) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [("person=x", "must be a number, or LABEL=number, got person=x"), ("1", "must be between 0 and 1, got 1")],
)
def test_what_is_no_threshold_is_told(value: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_thresholds([value])
