"""What may lie in a checkpoint besides tensors: an index of weight files, and the code of the model."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils import cached_file


TASK = "global-pointer-ner"
_NO_CONVERSION = "DISABLE_SAFETENSORS_CONVERSION"


def check_weight_files(name: Any, variant: str | None = None, **where: Any) -> None:
    """Make sure that the index of a sharded checkpoint names safetensors files beside it and nothing else.

    Args:
        name (`str` or `os.PathLike`): A folder or the id of a Hub repository.
        variant (`str`, *optional*): The variant of the weights that will be loaded.
        where (`dict`): `revision`, `subfolder`, `cache_dir`, `token`, ... of the loading.

    Raises:
        ValueError: If it names another file.
    """
    file = f"model.safetensors.index.{variant}.json" if variant else "model.safetensors.index.json"
    index = cached_file(
        name,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
        **where,
    )
    if index is None:
        return
    for shard in set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()):
        if PurePosixPath(shard.replace("\\", "/")).name != shard or not shard.endswith(".safetensors"):
            raise ValueError(
                f"{file} of {name} names the file {shard!r}; the weights of a checkpoint are safetensors files beside "
                "their index. Do not use this checkpoint unless you know where it comes from."
            )


def safetensors_only(load: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a loading function, called with `use_safetensors=True`, to what the repository itself holds.

    Where Transformers finds no safetensors on the Hub, it sends the user's token to a service that converts pickles,
    and takes the weights from a pull request of that name, which anybody may have opened.
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before = os.environ.get(_NO_CONVERSION)
        os.environ[_NO_CONVERSION] = "1"
        try:
            return load(*args, **kwargs)
        except OSError as error:
            if "use_safetensors" not in str(error):
                raise
            raise OSError(
                "There are no weights in safetensors (model.safetensors), and other files can run code when they are "
                "opened. Load such a checkpoint with its own class, if you trust it, and save it again with "
                f"`save_pretrained`. ({error})"
            ) from error
        finally:
            if before is None:
                del os.environ[_NO_CONVERSION]
            else:
                os.environ[_NO_CONVERSION] = before

    return wrapped


def write_code(folder: Path, config: PreTrainedConfig, model_class: type) -> dict[str, Any]:
    """Copy the modules that a checkpoint needs to run without the package.

    Returns:
        `dict`: The fields of `config.json` that make Transformers use them where it is told to trust remote code.
    """
    for module in Path(__file__).parent.glob("*.py"):
        if module.name != "__init__.py":
            shutil.copy(module, folder)
    model = f"modeling_global_pointer.{model_class.__name__}"
    return {
        "auto_map": {
            "AutoConfig": f"configuration_global_pointer.{type(config).__name__}",
            "AutoModel": model,
            "AutoModelForTokenClassification": model,
        },
        "custom_pipelines": {
            TASK: {
                "impl": "pipeline_global_pointer_ner.GlobalPointerNerPipeline",
                "pt": ["AutoModelForTokenClassification"],
                "type": "text",
            }
        },
    }
