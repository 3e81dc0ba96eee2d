"""A training run and its checkpoints: disk space before it begins, and how to resume it when it was interrupted."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.trainer import FSDP_MODEL_NAME, OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.utils import ADAPTER_SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, logging

from ..atomic_files import atomic_path
from ..data.examples import Example
from .loading import RUN_SETTINGS_NAME


logger = logging.get_logger(__name__)

# FSDP's sharded weights and optimizer state are folders, whose metadata is written once all shards are.
SHARDED_WEIGHTS_NAME = f"{FSDP_MODEL_NAME}_0"
SHARDED_OPTIMIZER_NAME = "optimizer_0"


def check_output_folder(folder: str | os.PathLike[str], needed_bytes: int = 0, resume: bool = False) -> None:
    """Check, before hours of work and not after them, that a run can write its output; makes the folder.

    Args:
        folder (`str` or `os.PathLike`): Where the run is going to write.
        needed_bytes (`int`, *optional*, defaults to 0): The disk space it takes: see [`checkpoint_bytes`].
        resume (`bool`, *optional*, defaults to `False`):
            Whether the folder may hold an earlier run, to resume; what that has written takes no more space.

    Raises:
        OSError: If the folder is not a new or empty one, though nothing is to be resumed, it cannot be written, or
            the disk is too full.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; name a folder for the output.")
    if not resume and folder.exists() and any(folder.iterdir()):
        resumable = ", or resume the run in it" if (folder / RUN_SETTINGS_NAME).is_file() else ""
        raise FileExistsError(f"{folder} exists and is not empty; choose another, or remove it{resumable}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write to {folder}: {error.strerror}") from error
    free = shutil.disk_usage(folder).free
    needed_bytes -= sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if free < needed_bytes:
        raise OSError(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, and the run's checkpoints take up to "
            f"{needed_bytes / 1e9:.1f} GB; make room, choose another folder or keep fewer checkpoints."
        )


def begin_run(folder: str | os.PathLike[str], settings: Mapping[str, Any], resume: bool = False) -> None:
    """Write the settings of a new run, as the first file in its folder, or compare those of a resumed one to them.

    Args:
        folder (`str` or `os.PathLike`): The output folder of the run.
        settings (`Mapping[str, Any]`): What must stay the same, such as labels and batch size: values of JSON.
        resume (`bool`, *optional*, defaults to `False`): Whether to resume the run in the folder, if it has begun.

    Raises:
        FileNotFoundError: If the folder is not empty, and no run has begun in it.
        ValueError: If a setting is not that of the run.
    """
    folder = Path(folder)
    path = folder / RUN_SETTINGS_NAME
    if resume and path.exists():
        for name, value in json.loads(path.read_bytes()).items():
            if settings.get(name) != value:
                raise ValueError(
                    f"{name} was {value!r} when the run in {folder} began, and now is {settings.get(name)!r}; "
                    "resume with the settings that it began with, or begin anew in another folder."
                )
        return
    if resume and any(folder.iterdir()) and not any(folder.glob("checkpoint*")):
        raise FileNotFoundError(
            f"there is nothing to resume in {folder}: no run has begun there; choose a new folder."
        )
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def data_digest(examples: Iterable[Example]) -> str:
    """SHA-256 of the texts and entities of examples, whatever file they are from: a setting for [`begin_run`]."""
    content = [(x.text, [(entity.start, entity.end, entity.label) for entity in x.entities]) for x in examples]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def checkpoint_bytes(model: PreTrainedModel, num_checkpoints: int) -> int:
    """The bytes that so many checkpoints take, with the two moments that Adam keeps of each trainable parameter."""
    weights: int = sum(p.numel() * p.element_size() for p in model.parameters())
    moments: int = sum(2 * p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return num_checkpoints * (weights + moments)


def last_complete_checkpoint(folder: str | os.PathLike[str], model: PreTrainedModel) -> str | None:
    """The latest `checkpoint-<step>` that is complete; a warning names each one that is not.

    Args:
        folder (`str` or `os.PathLike`): The output folder of the run, which need not exist.
        model (`PreTrainedModel`): The model to resume; the checkpoint must have its entity types.

    Returns:
        `str` or `None`: What `Trainer.train(resume_from_checkpoint=...)` takes.

    Raises:
        ValueError: If the checkpoint is of other entity types, or of the same in another order.
    """
    paths = [path for path in Path(folder).glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]
    for path in sorted(paths, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True):
        if missing := _missing_part(path):
            logger.warning(f"Skipping {path}, which is not complete: {missing}.")
            continue
        _check_types(path, model)
        return str(path)
    return None


def _missing_part(checkpoint: Path) -> str | None:
    """What is missing to resume a run from this checkpoint, or `None`.

    The Trainer writes file by file, its own state last, and deletes old checkpoints file by file too.
    """
    parts = {
        "weights": (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, ADAPTER_SAFE_WEIGHTS_NAME, SHARDED_WEIGHTS_NAME),
        "optimizer state": (OPTIMIZER_NAME, SHARDED_OPTIMIZER_NAME, "optimizer.bin"),
        "scheduler state": (SCHEDULER_NAME,),
        "random state": _random_states(checkpoint),
        "Trainer state": (TRAINER_STATE_NAME,),
    }
    for part, names in parts.items():
        paths = [checkpoint / name for name in names if (checkpoint / name).exists()]
        if not paths:
            return f"it has no {part}"
        for path in paths:
            if not _is_complete(path):
                return f"{path.name} is cut short"
    return None


def _random_states(checkpoint: Path) -> tuple[str, ...]:
    """The files of the random state: one, or, of several processes, one for each."""
    names = {path.name for path in checkpoint.glob("rng_state_*.pth")}
    ranks = tuple(f"rng_state_{rank}.pth" for rank in range(len(names)))
    # A single one of them is what is left of more.
    return ranks if names == set(ranks) and len(ranks) > 1 else ("rng_state.pth",)


def _is_complete(path: Path) -> bool:
    """Whether a file, or a folder of shards, was written to its end."""
    if path.is_dir():
        return (path / ".metadata").is_file()
    if path.suffix == ".safetensors":
        try:
            # The header is checked against the length of the file.
            with safe_open(path, framework="pt"):
                return True
        except (SafetensorError, FileNotFoundError):
            return False
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            return False
        shards = set(content.get("weight_map", {}).values()) if path.name == SAFE_WEIGHTS_INDEX_NAME else ()
        return all(_is_complete(path.with_name(shard)) for shard in shards)
    # What torch.save writes ends with a directory of its parts.
    return zipfile.is_zipfile(path)


def _check_types(checkpoint: Path, model: PreTrainedModel) -> None:
    config = checkpoint / "config.json"
    if not config.exists():
        return  # of adapters, and of sharded weights
    labels = json.loads(config.read_bytes()).get("id2label", {})
    own = {str(index): label for index, label in model.config.id2label.items()}
    if labels != own:
        raise ValueError(
            f"{checkpoint} is of a model with the types {list(labels.values())}, but the training data has "
            f"{list(own.values())}; resume with the data the run began with, or begin anew in another folder."
        )
