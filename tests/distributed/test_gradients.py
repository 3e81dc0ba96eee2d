from pathlib import Path

import pytest
import torch
from gradients import SAMPLES, gradient
from transformers import Trainer

from launching import run


WHOLE = (SAMPLES, 1)
# The last micro-batch is smaller in all but the last.
ON_ONE_PROCESS = [(4, 3), (3, 4), (6, 2), (1, 10)]
ON_TWO_PROCESSES = [(5, 1), (3, 2), (4, 2), (1, 5)]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("gradients")
    cuts = [f"{size}:{steps}" for size, steps in ON_TWO_PROCESSES]
    run(Path(__file__).with_name("gradients.py"), output, *cuts, processes=2)
    return output


def assert_same(found: tuple[torch.Tensor, float], expected: tuple[torch.Tensor, float]) -> None:
    assert torch.linalg.norm(found[0] - expected[0]) <= 1e-5 * torch.linalg.norm(expected[0])
    assert found[1] == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["efficient", "full"])
def test_micro_batches_give_the_gradient_of_the_whole(kind: str, tmp_path: Path, two_processes: Path) -> None:
    expected = gradient(kind, *WHOLE, tmp_path)
    for size, steps in ON_ONE_PROCESS:
        assert_same(gradient(kind, size, steps, tmp_path), expected)
    for size, steps in ON_TWO_PROCESSES:
        assert_same(torch.load(two_processes / f"{kind}-{size}-{steps}.pt"), expected)


def test_the_stock_trainer_does_too_where_micro_batches_are_of_one_size(tmp_path: Path) -> None:
    expected = gradient("efficient", *WHOLE, tmp_path, Trainer)
    assert_same(gradient("efficient", 5, 2, tmp_path, Trainer), expected)
    uneven = gradient("efficient", 4, 3, tmp_path, Trainer)[0]
    assert torch.linalg.norm(uneven - expected[0]) > 1e-2 * torch.linalg.norm(expected[0])
