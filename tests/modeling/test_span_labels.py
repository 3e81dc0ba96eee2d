import pytest
import torch

from hf_globalpointer.modeling.span_labels import spans_from_labels


# Of the second sample, token 2 may not begin a span and token 1 may not end one.
MASK = torch.tensor([[[0, 1, 1, 1, 0]] * 2, [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]]).bool()


def rows(spans: torch.Tensor) -> list[set[tuple[int, ...]]]:
    return [{tuple(row) for row in sample if row[0] >= 0} for sample in spans.tolist()]


def test_each_gold_span_counts_once_in_any_order() -> None:
    labels = torch.tensor([[[1, 2, 3], [0, 1, 1], [1, 2, 3]], [[-100] * 3, [2, 1, 2], [-100] * 3]])
    spans = spans_from_labels(labels, 3, MASK)
    assert rows(spans) == [{(1, 2, 3), (0, 1, 1)}, {(2, 1, 2)}]
    assert (spans[..., 0] >= 0).sum() == 3


def test_dense_labels_say_the_same() -> None:
    dense = torch.zeros(2, 3, 5, 5)
    dense[0, 1, 2, 3] = dense[0, 0, 1, 1] = dense[1, 2, 1, 2] = 1
    assert rows(spans_from_labels(dense, 3, MASK)) == [{(1, 2, 3), (0, 1, 1)}, {(2, 1, 2)}]
    assert spans_from_labels(torch.zeros(2, 3, 5, 5), 3, MASK).shape == (2, 0, 3)


@pytest.mark.parametrize("value", [2, -100, 0.5, float("nan")])
def test_a_dense_label_that_is_neither_0_nor_1_is_named(value: float) -> None:
    dense = torch.zeros(2, 3, 5, 5)
    dense[1, 2, 1, 2] = value
    with pytest.raises(ValueError, match=rf"`labels\[1, 2, 1, 2\]`.* must be 0 or 1, got {value}"):
        spans_from_labels(dense, 3, MASK)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([3, 1, 1], r"\[3, 1, 1\].*its type is not in 0\.\.2"),
        ([-1, 1, 1], "its type is not in 0"),
        ([0, 1, 5], r"its tokens are not in 0\.\.4"),
        ([0, -2, 1], "its tokens are not in 0"),
        ([0, 2, 1], "its end token comes before its start token"),
        ([0, 1, 3], "no span is scored that begins or ends there"),
        ([0, 0, 2], "no span is scored that begins or ends there"),
        ([0, 1, 1], "no span is scored that begins or ends there"),
        ([0, 2, 2], "no span is scored that begins or ends there"),
        ([0, -100, -100], "its tokens are not in 0"),
    ],
)
def test_a_row_that_is_no_span_is_named_with_its_place(row: list[int], message: str) -> None:
    labels = torch.tensor([[[0, 1, 1], [-100] * 3], [[1, 1, 2], row]])
    with pytest.raises(ValueError, match=rf"`labels\[1, 1\]`.*{message}"):
        spans_from_labels(labels, 3, MASK)


@pytest.mark.parametrize("shape", [(2, 5), (1, 4, 3), (2, 4, 2), (2, 4, 5, 5), (2, 3, 5, 6)])
def test_labels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        spans_from_labels(torch.zeros(shape, dtype=torch.long), 3, MASK)


def test_fractions_are_no_labels() -> None:
    with pytest.raises(ValueError, match="must hold integers"):
        spans_from_labels(torch.zeros(2, 1, 3), 3, MASK)
