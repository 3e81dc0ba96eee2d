import pytest

from hf_globalpointer import use_triton_kernels
from hf_globalpointer.modeling import per_type_reductions, shared_reductions, triton_reductions


def test_each_operator_gets_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    attached = {}
    operators = {
        "logsumexp": (per_type_reductions, "row_logsumexp"),
        "softplus": (per_type_reductions, "row_softplus"),
        "backward": (per_type_reductions, "row_reduction_backward"),
        "shared_logsumexp": (shared_reductions, "shared_row_logsumexp"),
        "shared_backward": (shared_reductions, "shared_row_logsumexp_backward"),
    }
    for kernel, (module, name) in operators.items():
        monkeypatch.setattr(
            getattr(module, name),
            "register_kernel",
            lambda device, function, kernel=kernel: attached.update({kernel: (device, function)}),
        )
    use_triton_kernels()
    assert attached == {kernel: ("cuda", getattr(triton_reductions, kernel)) for kernel in operators}
