"""The code that a checkpoint may carry, for those who do not have the package."""

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig


TASK = "global-pointer-ner"


def write_code(folder: str | os.PathLike[str]) -> None:
    """Copy the modules that a checkpoint needs to run without the package."""
    for module in Path(__file__).parent.glob("*.py"):
        if module.name != "__init__.py":
            shutil.copy(module, folder)


def code_fields(config: PreTrainedConfig, model_class: type) -> dict[str, Any]:
    """The fields of `config.json` that make Transformers use that code where it is told to trust remote code."""
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
