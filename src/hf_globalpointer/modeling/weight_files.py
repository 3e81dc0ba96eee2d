"""The weight files that a checkpoint may name."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils import cached_file


# What a configuration may call a weight file of its own choice.
WEIGHTS_FIELD = "transformers_weights"
_NO_CONVERSION = "DISABLE_SAFETENSORS_CONVERSION"


def check_weight_files(name: Any, variant: str | None = None, **where: Any) -> None:
    """Make sure that a checkpoint names no weights but safetensors files beside its configuration.

    Args:
        name (`str` or `os.PathLike`): A folder or the id of a Hub repository.
        variant (`str`, *optional*): The variant of the weights that will be loaded.
        where (`dict`): `revision`, `subfolder`, `cache_dir`, `token`, ... of the loading.

    Raises:
        ValueError: If its index names another file, or is none, or its configuration names files itself; or if it is
            no checkpoint but an exported model.
    """
    if (Path(name) / "export.json").is_file() and not any(Path(name).glob("*.safetensors")):
        raise ValueError(f"{name} holds an exported model; load it with `load_exported`, or take the original.")
    refuse_weights_field(PreTrainedConfig.get_config_dict(name, **where)[0], f"config.json of {name}")
    file = f"model.safetensors.index.{variant}.json" if variant else "model.safetensors.index.json"
    path = cached_file(
        name,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
        **where,
    )
    if path is None:
        return
    try:
        shards = json.loads(Path(path).read_bytes())["weight_map"].values()
        elsewhere = [shard for shard in shards if PurePosixPath(shard.replace("\\", "/")).name != shard]
        refused = elsewhere + [shard for shard in shards if not shard.endswith(".safetensors")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} of {name} does not map tensors to files in `weight_map`: {error!r}.") from error
    if refused:
        raise ValueError(
            f"{file} of {name} names the file {refused[0]!r}; the weights of a checkpoint are safetensors files "
            "beside their index. Do not use this checkpoint unless you know where it comes from."
        )


def refuse_weights_field(config: Mapping[str, Any], whose: str) -> None:
    """Raise a `ValueError` if the fields of a configuration say where weights are, which no index has checked."""
    if config.get(WEIGHTS_FIELD) is not None:
        raise ValueError(
            f"{whose} names the weight file {config[WEIGHTS_FIELD]!r} as `{WEIGHTS_FIELD}`; weights are read from "
            "model.safetensors and from what its index names. Rename the file, and remove the field."
        )


def safetensors_only(load: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a loading function of Transformers to safetensors, and to what the repository itself holds.

    Where Transformers finds no safetensors on the Hub, it sends the user's token to a service that converts pickles,
    and takes the weights from a pull request of that name, which anybody may have opened.
    """

    def wrapped(*args: Any, use_safetensors: bool | None = True, **kwargs: Any) -> Any:
        if use_safetensors not in (True, None):
            raise ValueError(
                "Weights are loaded from safetensors only: other files can run code when they are opened."
            )
        before = os.environ.get(_NO_CONVERSION)
        os.environ[_NO_CONVERSION] = "1"
        try:
            return load(*args, use_safetensors=True, **kwargs)
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
