"""The gold spans of a batch, in the forms a model accepts them."""

import torch
from torch import Tensor

from .span_blocks import PADDING, index_in_group


# Devices that the host runs ahead of, and that can stop by themselves; and that of tensors without values.
_ASYNCHRONOUS = ("cuda", "meta")


def spans_from_labels(labels: Tensor, num_labels: int, mask: Tensor, max_span_length: int | None = None) -> Tensor:
    """Turn the `labels` of a batch into distinct, checked span rows.

    Args:
        labels (`torch.LongTensor` of shape `(B, M, 3)`, or 0/1 tensor of shape `(B, E, n, n)`):
            Rows (label, start token, end token inclusive) padded with -100, in any order, or dense labels.
        num_labels (`int`): E.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and those that may end a span.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Returns:
        `torch.LongTensor` of shape `(B, M, 3)`: each gold span once, padded with -100.

    Raises:
        ValueError: If the shape is neither, a dense label is neither 0 nor 1, or a row names a type, token or span
            that does not exist; for rows on a GPU, that is an error of the device.
    """
    num_samples, _, n = mask.shape
    if labels.dim() == 4:
        spans = _rows_from_dense(labels, (num_samples, num_labels, n, n))
    elif labels.dim() == 3 and labels.shape[0] == num_samples and labels.shape[2] == 3:
        spans = labels
    else:
        raise ValueError(
            f"`labels` must have shape ({num_samples}, M, 3), rows (label, start token, end token) padded with "
            f"{PADDING}, or dense ({num_samples}, {num_labels}, {n}, {n}); got {tuple(labels.shape)}."
        )
    if spans.is_floating_point():
        raise ValueError(f"`labels` must hold integers, got {spans.dtype}.")
    spans = spans.long()
    # A compiled graph cannot raise on the values of a tensor; eager training and evaluation always check.
    if not torch.compiler.is_compiling():
        _check(spans, num_labels, mask, max_span_length)
    return _distinct(spans, num_labels, n)


def _rows_from_dense(labels: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(labels.shape) != shape:
        raise ValueError(f"Dense `labels` must have shape {shape} (batch, types, n, n), got {tuple(labels.shape)}.")
    # Where values can be checked: see above.
    if not torch.compiler.is_compiling():
        for b, a, i, j in ((labels != 0) & (labels != 1)).nonzero().tolist():
            raise ValueError(
                f"Dense `labels[{b}, {a}, {i}, {j}]` (batch, type, start token, end token) must be 0 or 1, got "
                f"{labels[b, a, i, j].item()}."
            )
    sample, *row = labels.nonzero().unbind(-1)
    index = index_in_group(sample, len(labels))
    most = int(index.max()) + 1 if len(index) else 0
    spans = sample.new_full((len(labels), most, 3), PADDING)
    spans[sample, index] = torch.stack(row, dim=-1)
    return spans


def _check(spans: Tensor, num_labels: int, mask: Tensor, max_span_length: int | None) -> None:
    """Raise a `ValueError` that names the first row that is no span of this batch; a GPU stops by itself."""
    n = mask.shape[-1]
    padding = (spans == PADDING).all(-1)
    label, start_token, end_token = spans.unbind(-1)
    sample = torch.arange(len(spans), device=spans.device)[:, None]
    faults = {
        f"its type is not in 0..{num_labels - 1}": (label < 0) | (label >= num_labels),
        f"its tokens are not in 0..{n - 1}": (start_token < 0)
        | (start_token >= n)
        | (end_token < 0)
        | (end_token >= n),
        "its end token comes before its start token": end_token < start_token,
        f"it has more tokens than `config.max_span_length`, {max_span_length}; raise that, or leave it out by "
        "`encode_examples(..., max_span_length=...)`": end_token - start_token
        >= (n if max_span_length is None else max_span_length),
        "no span is scored that begins or ends there: the token is padding, special, or otherwise masked": ~(
            mask[sample, 0, start_token.clamp(0, n - 1)] & mask[sample, 1, end_token.clamp(0, n - 1)]
        ),
    }
    is_fine = ~torch.stack(list(faults.values())).any(0) | padding
    if spans.device.type in _ASYNCHRONOUS:
        # To look here would make the host wait for the GPU in every step.
        torch._assert_async(is_fine.all(), "`labels` has rows that are no spans; one step on the CPU says which.")
        return
    if is_fine.all():
        return
    for fault, where in faults.items():
        for b, m in (where & ~padding).nonzero().tolist():
            raise ValueError(
                f"`labels[{b}, {m}]` = {spans[b, m].tolist()} (label, start token, end token) is not a span: {fault}."
            )


def _distinct(spans: Tensor, num_labels: int, n: int) -> Tensor:
    """Sort rows by (label, start, end) and turn repeated ones into padding, so that each gold span counts once."""
    label, start_token, end_token = spans.unbind(-1)
    code = ((label * n + start_token) * n + end_token).masked_fill(label < 0, num_labels * n * n)
    code, order = code.sort(dim=1)
    spans = spans.gather(1, order[..., None].expand_as(spans))
    repeated = torch.zeros_like(code, dtype=torch.bool)
    repeated[:, 1:] = code[:, 1:] == code[:, :-1]
    return spans.masked_fill(repeated[..., None], PADDING)
