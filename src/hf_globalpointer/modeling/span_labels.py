"""The gold spans of a batch, in the forms a model accepts them."""

import torch
from torch import Tensor

from .span_blocks import PADDING, index_in_group


def spans_from_labels(labels: Tensor, num_types: int, mask: Tensor, max_span_length: int | None = None) -> Tensor:
    """Turn the `labels` of a batch into distinct, checked span rows.

    Args:
        labels (`torch.LongTensor` of shape `(B, M, 3)`, or 0/1 tensor of shape `(B, E, n, n)`):
            Rows (type, first token, last token inclusive) padded with -100, in any order, or dense labels.
        num_types (`int`): E.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and those that may end a span.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Returns:
        `torch.LongTensor` of shape `(B, M, 3)`: each gold span once, padded with -100.

    Raises:
        ValueError: If the shape is neither, a row names a type, token or span that does not exist, or a dense label
            is neither 0 nor 1.
    """
    num_samples, _, n = mask.shape
    if labels.dim() == 4:
        spans = _rows_from_dense(labels, (num_samples, num_types, n, n))
    elif labels.dim() == 3 and labels.shape[0] == num_samples and labels.shape[2] == 3:
        spans = labels
    else:
        raise ValueError(
            f"`labels` must have shape ({num_samples}, M, 3), rows (type, first token, last token) padded with "
            f"{PADDING}, or dense ({num_samples}, {num_types}, {n}, {n}); got {tuple(labels.shape)}."
        )
    if spans.is_floating_point():
        raise ValueError(f"`labels` must hold integers, got {spans.dtype}.")
    spans = spans.long()
    # A compiled graph cannot raise on the values of a tensor; eager training and evaluation always check.
    if not torch.compiler.is_compiling():
        _check(spans, num_types, mask, max_span_length)
    return _distinct(spans, num_types, n)


def _rows_from_dense(labels: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(labels.shape) != shape:
        raise ValueError(f"Dense `labels` must have shape {shape} (batch, types, n, n), got {tuple(labels.shape)}.")
    # Where values can be checked: see above.
    if not torch.compiler.is_compiling():
        for b, a, i, j in ((labels != 0) & (labels != 1)).nonzero().tolist():
            raise ValueError(
                f"Dense `labels[{b}, {a}, {i}, {j}]` (batch, type, first token, last token) must be 0 or 1, got "
                f"{labels[b, a, i, j].item()}."
            )
    sample, *row = labels.nonzero().unbind(-1)
    index = index_in_group(sample, len(labels))
    most = int(index.max()) + 1 if len(index) else 0
    spans = sample.new_full((len(labels), most, 3), PADDING)
    spans[sample, index] = torch.stack(row, dim=-1)
    return spans


def _check(spans: Tensor, num_types: int, mask: Tensor, max_span_length: int | None) -> None:
    """Raise a `ValueError` that names the first row that is no span of this batch."""
    n = mask.shape[-1]
    padding = (spans == PADDING).all(-1)
    types, first, last = spans.unbind(-1)
    sample = torch.arange(len(spans), device=spans.device)[:, None]
    faults = {
        f"its type is not in 0..{num_types - 1}": (types < 0) | (types >= num_types),
        f"its tokens are not in 0..{n - 1}": (first < 0) | (first >= n) | (last < 0) | (last >= n),
        "its last token comes before its first": last < first,
        f"it has more tokens than `config.max_span_length`, {max_span_length}; raise that, or leave it out by "
        "`encode_examples(..., max_span_length=...)`": last - first
        >= (n if max_span_length is None else max_span_length),
        "no span is scored that begins or ends there: the token is padding, special, or otherwise masked": ~(
            mask[sample, 0, first.clamp(0, n - 1)] & mask[sample, 1, last.clamp(0, n - 1)]
        ),
    }
    if not (torch.stack(list(faults.values())).any(0) & ~padding).any():
        return
    for fault, where in faults.items():
        for b, m in (where & ~padding).nonzero().tolist():
            raise ValueError(
                f"`labels[{b}, {m}]` = {spans[b, m].tolist()} (type, first token, last token) is not a span: {fault}."
            )


def _distinct(spans: Tensor, num_types: int, n: int) -> Tensor:
    """Sort rows by (type, first, last) and turn repeated ones into padding, so that each gold span counts once."""
    types, first, last = spans.unbind(-1)
    code = ((types * n + first) * n + last).masked_fill(types < 0, num_types * n * n)
    code, order = code.sort(dim=1)
    spans = spans.gather(1, order[..., None].expand_as(spans))
    repeated = torch.zeros_like(code, dtype=torch.bool)
    repeated[:, 1:] = code[:, 1:] == code[:, :-1]
    return spans.masked_fill(repeated[..., None], PADDING)
