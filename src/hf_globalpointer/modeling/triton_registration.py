"""Attaches the kernels of `triton_reductions.py` to the operators whose sums they compute."""

from .per_type_reductions import row_logsumexp, row_reduction_backward, row_softplus
from .shared_reductions import shared_row_logsumexp, shared_row_logsumexp_backward


def use_triton_kernels() -> None:
    """Run the sums over the spans in Triton, on NVIDIA GPUs, in this process.

    Raises:
        ModuleNotFoundError: If Triton is not installed: `pip install 'hf-globalpointer[triton]'`.
    """
    from . import triton_reductions

    row_logsumexp.register_kernel("cuda", triton_reductions.logsumexp)
    row_softplus.register_kernel("cuda", triton_reductions.softplus)
    row_reduction_backward.register_kernel("cuda", triton_reductions.backward)
    shared_row_logsumexp.register_kernel("cuda", triton_reductions.shared_logsumexp)
    shared_row_logsumexp_backward.register_kernel("cuda", triton_reductions.shared_backward)
