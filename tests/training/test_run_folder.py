import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments

from conftest import make_char_tokenizer, make_model
from hf_globalpointer import (
    DataCollatorForGlobalPointer,
    check_output_folder,
    checkpoint_bytes,
    last_complete_checkpoint,
)
from hf_globalpointer.training.run_folder import begin_run


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return make_model("efficient")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the Trainer with two checkpoints, the weights of the second one in shards."""
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(
        model=make_model("efficient"),
        args=TrainingArguments(
            str(folder), max_steps=10, save_steps=1, save_total_limit=2, report_to="none", disable_tqdm=True
        ),
        data_collator=DataCollatorForGlobalPointer(make_char_tokenizer()),
        train_dataset=[{"input_ids": [2, 5, 6, 3], "labels": [[0, 1, 2]]}] * 8,
    )
    trainer.train()
    (folder / "checkpoint-10" / "model.safetensors").unlink()
    make_model("efficient").save_pretrained(folder / "checkpoint-10", max_shard_size="10KB")
    assert len(list((folder / "checkpoint-10").glob("model-*.safetensors"))) > 1
    return folder


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 7)


def first_shard(checkpoint: Path) -> Path:
    return min(checkpoint.glob("model-*.safetensors"))


def remove_weights(checkpoint: Path) -> None:
    for path in checkpoint.glob("model*"):
        path.unlink()


def fsdp(checkpoint: Path) -> None:
    """Shards of FSDP, before the file that lists them is written."""
    remove_weights(checkpoint)
    (checkpoint / "pytorch_model_fsdp_0").mkdir()
    (checkpoint / "pytorch_model_fsdp_0" / "__0_0.distcp").write_bytes(b"...")


def ranks(*numbers: int) -> Callable[[Path], None]:
    """In place of the random state of one process those of others."""

    def apply(checkpoint: Path) -> None:
        state = checkpoint / "rng_state.pth"
        for number in numbers:
            shutil.copy(state, checkpoint / f"rng_state_{number}.pth")
        state.unlink()

    return apply


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (remove_weights, "it has no weights"),
    "a shard is cut": (lambda checkpoint: cut(first_shard(checkpoint)), "model.safetensors.index.json is cut short"),
    "a shard is gone": (lambda checkpoint: first_shard(checkpoint).unlink(), "model.safetensors.index.json is cut"),
    "the index is cut": (
        lambda checkpoint: cut(checkpoint / "model.safetensors.index.json"),
        "model.safetensors.index.json is cut short",
    ),
    "shards of FSDP": (fsdp, "pytorch_model_fsdp_0 is cut short"),
    "no optimizer": (lambda checkpoint: (checkpoint / "optimizer.pt").unlink(), "it has no optimizer state"),
    "the optimizer is cut": (lambda checkpoint: cut(checkpoint / "optimizer.pt"), "optimizer.pt is cut short"),
    "the scheduler is empty": (
        lambda checkpoint: (checkpoint / "scheduler.pt").write_bytes(b""),
        "scheduler.pt is cut short",
    ),
    "no random state": (lambda checkpoint: (checkpoint / "rng_state.pth").unlink(), "it has no random state"),
    "the random state of one process alone": (
        lambda checkpoint: (checkpoint / "rng_state.pth").rename(checkpoint / "rng_state_1.pth"),
        "it has no random state",
    ),
    "the random state of the first process alone": (
        lambda checkpoint: (checkpoint / "rng_state.pth").rename(checkpoint / "rng_state_0.pth"),
        "it has no random state",
    ),
    "the random state of the second of three processes is gone": (ranks(0, 2), "it has no random state"),
    "the random state is cut": (lambda checkpoint: cut(checkpoint / "rng_state.pth"), "rng_state.pth is cut short"),
    "no Trainer state": (lambda checkpoint: (checkpoint / "trainer_state.json").unlink(), "it has no Trainer state"),
    "the Trainer state is cut": (
        lambda checkpoint: cut(checkpoint / "trainer_state.json"),
        "trainer_state.json is cut short",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_half_written_checkpoint_is_skipped_with_a_warning(
    damage: str, finished: Path, tmp_path: Path, model: PreTrainedModel, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = shutil.copytree(finished, tmp_path / "run")
    assert last_complete_checkpoint(folder, model) == str(folder / "checkpoint-10")
    apply, message = DAMAGES[damage]
    apply(folder / "checkpoint-10")
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("hf_globalpointer"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        assert last_complete_checkpoint(folder, model) == str(folder / "checkpoint-9")
    assert f"Skipping {folder / 'checkpoint-10'}, which is not complete: {message}" in caplog.text


def test_a_checkpoint_of_several_processes_has_a_random_state_of_each(
    finished: Path, tmp_path: Path, model: PreTrainedModel
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    ranks(0, 1, 2)(folder / "checkpoint-10")
    assert last_complete_checkpoint(folder, model) == str(folder / "checkpoint-10")
    cut(folder / "checkpoint-10" / "rng_state_1.pth")
    assert last_complete_checkpoint(folder, model) == str(folder / "checkpoint-9")


def test_steps_are_numbers_and_other_folders_are_no_checkpoints(
    finished: Path, tmp_path: Path, model: PreTrainedModel
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "checkpoint-10").rename(folder / "checkpoint-best")
    assert last_complete_checkpoint(folder, model) == str(folder / "checkpoint-9")
    assert last_complete_checkpoint(tmp_path / "nowhere", model) is None


def test_a_checkpoint_of_other_types_is_refused(finished: Path) -> None:
    with pytest.raises(ValueError, match=r"types \['date', 'person', 'place'\], but .*\['person', 'date', 'place'\]"):
        last_complete_checkpoint(finished, make_model("efficient", labels=["person", "date", "place"]))


def test_checkpoints_need_room_for_weights_and_moments(finished: Path, model: PreTrainedModel) -> None:
    needed = checkpoint_bytes(model, 2)
    assert needed == pytest.approx(
        sum(path.stat().st_size for path in finished.rglob("*") if path.suffix in (".safetensors", ".pt")), rel=0.5
    )
    model = make_model("efficient")
    model.bert.requires_grad_(False)
    head = sum(p.numel() for p in model.classifier.parameters())
    assert checkpoint_bytes(model, 1) == 4 * (sum(p.numel() for p in model.parameters()) + 2 * head)
    assert checkpoint_bytes(model.to(torch.bfloat16), 1) == 2 * (sum(p.numel() for p in model.parameters()) + 2 * head)


def test_output_folder_is_made_and_must_be_new_or_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    check_output_folder(folder)
    assert list(folder.iterdir()) == []
    check_output_folder(folder)
    (folder / "precious").touch()
    with pytest.raises(FileExistsError, match="not empty; choose another, or remove it"):
        check_output_folder(folder)
    check_output_folder(folder, resume=True)
    with pytest.raises(NotADirectoryError, match="precious is a file; name a folder"):
        check_output_folder(folder / "precious", resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_where_nothing_can_be_written_is_told(resume: bool) -> None:
    with pytest.raises(OSError, match="cannot write to /dev/null/folder: Not a directory"):
        check_output_folder("/dev/null/folder", resume=resume)
    with pytest.raises(OSError, match="cannot write to /proc/folder: "):
        check_output_folder("/proc/folder", resume=resume)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 8, 2_000_000_000))
    check_output_folder(tmp_path, 2_000_000_000)
    with pytest.raises(OSError, match=r"has 2\.0 GB free, and the run's checkpoints take up to 5\.2 GB; make room"):
        check_output_folder(tmp_path, 5_200_000_000)
    # What the run has written when it breaks off, it need not write again.
    with (tmp_path / "written").open("wb") as file:
        file.truncate(3_200_000_000)
    check_output_folder(tmp_path, 5_200_000_000, resume=True)


def test_a_run_is_resumed_with_what_it_began_with(tmp_path: Path) -> None:
    settings = {"labels": ["a", "b"], "batch_size": 4}
    begin_run(tmp_path, settings)
    begin_run(tmp_path, settings, resume=True)
    with pytest.raises(ValueError, match=r"labels was \['a', 'b'\] when the run in .* began, and now is \['b', 'a'\]"):
        begin_run(tmp_path, settings | {"labels": ["b", "a"]}, resume=True)
    with pytest.raises(ValueError, match=r"batch_size was 4 when the run in .* began, and now is None"):
        begin_run(tmp_path, {"labels": ["a", "b"]}, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run_settings.json"]


def test_where_no_run_has_begun_there_is_nothing_to_resume(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError, match="there is nothing to resume in"):
        begin_run(tmp_path, {}, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    # Of a script that does not note its settings.
    (tmp_path / "checkpoint-3").mkdir()
    begin_run(tmp_path, {}, resume=True)
    (tmp_path / "new").mkdir()
    begin_run(tmp_path / "new", {}, resume=True)
