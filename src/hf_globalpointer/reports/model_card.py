"""Model cards: the README.md of a checkpoint, with metadata for the Hub, written from what is known and measured."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from transformers import PreTrainedConfig, PreTrainedModel

from ..data import AlignmentReport, Example
from ..data.statistics import SplitStatistics
from ..modeling.remote_code import TASK
from ..modeling.span_heads import EfficientGlobalPointerHead
from .model_card_tables import METRICS, labels_table, results_table, settings_table, splits_table
from .templating import TEMPLATES


_TAGS = ["hf-globalpointer", TASK, "global-pointer", "named-entity-recognition"]
_OVERLAPS = {
    "all": "entities may be nested, cross each other and share a span",
    "nested": "entities may be nested and share a span, but not cross each other",
    "flat": "entities do not overlap",
}
_PACKAGES = ("hf-globalpointer", "transformers", "torch", "tokenizers")


@dataclass(kw_only=True)
class GlobalPointerModelCard:
    """The facts about a model that its card tells; what is not known is not in the card.

    Made with [`from_model`] before training, completed in training by [`ModelCardCallback`] or by hand.

    Args:
        name (`str`): The model's Hub id, "org/name", or the name of its folder; what the usage code loads.
        dataset (`str`): The Hub id of the training data, "org/name", or what they are called.
        model_class (`str`): The class of the model.
        head (`str`): The kind of its head, in words.
        encoder_class (`str`): The class of its encoder.
        num_parameters (`int`): The number of all its parameters.
        config (`PreTrainedConfig`): Its configuration.
        base_model (`str`, *optional*): The Hub id of the encoder it was fine-tuned from.
        language (`str`, *optional*): ISO 639 code of the language of the texts, or "multilingual".
        license (`str`, *optional*): The model's license, as the Hub spells it.
        statistics (`dict[str, SplitStatistics]`): What the splits of the data hold.
        scores (`dict[str, Mapping[str, float]]`):
            Of each evaluated split, the numbers that `SpanMetrics.to_dict` gives; other names are skipped.
        hyperparameters (`dict[str, Any]`): How it was trained.
        epoch (`float`, *optional*): The number of epochs after which the weights were taken.

    Raises:
        ValueError: If the Hub would reject the card for one of these.
    """

    name: str
    dataset: str
    model_class: str
    head: str
    encoder_class: str
    num_parameters: int
    config: PreTrainedConfig
    base_model: str | None = None
    language: str | None = None
    license: str | None = None
    statistics: dict[str, SplitStatistics] = field(default_factory=dict)
    scores: dict[str, Mapping[str, float]] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    epoch: float | None = None

    def __post_init__(self) -> None:
        for what, name in (("model", self.name), ("data", self.dataset)):
            if not name or ("/" in name and not _is_hub_id(name)):
                raise ValueError(f"the {what} cannot be called {name!r}: give a Hub id (org/name) or a plain name.")
        if self.language is not None and not re.fullmatch("[a-z]{2,3}|multilingual", self.language):
            raise ValueError(f"language {self.language!r} is no ISO 639 code, such as en, nor multilingual.")
        if self.license is not None and not re.fullmatch("[a-z0-9.-]+", self.license):
            raise ValueError(f"license {self.license!r} is not spelt as the Hub does, such as apache-2.0.")

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        name: str,
        dataset: str,
        *,
        data: Mapping[str, tuple[Sequence[Example], AlignmentReport]] | None = None,
        language: str | None = None,
        license: str | None = None,
    ) -> "GlobalPointerModelCard":
        """The card of a model that is to be trained; call it before training, while its encoder is where it was.

        Args:
            model (`PreTrainedModel`): A GlobalPointer model.
            name (`str`): Its Hub id, "org/name", or the name of the folder it will be saved in.
            dataset (`str`): The Hub id of the training data, "org/name", or what they are called.
            data (`dict[str, tuple]`, *optional*): The examples of each split, and the report of their alignment.
            language (`str`, *optional*): ISO 639 code of the language of the texts, or "multilingual".
            license (`str`, *optional*): The model's license, as the Hub spells it.

        Raises:
            ValueError: If the Hub would reject the card for one of these.
        """
        # A model that was composed of an encoder and a new head has no name of its own.
        start = model.name_or_path or model.base_model.name_or_path
        return cls(
            name=name,
            dataset=dataset,
            model_class=type(model).__name__,
            head=f"{'Efficient ' * isinstance(model.classifier, EfficientGlobalPointerHead)}GlobalPointer",
            encoder_class=type(model.base_model).__name__,
            num_parameters=model.num_parameters(),
            config=model.config,
            # Relative paths may look like Hub ids; what exists here was loaded from here.
            base_model=start if _is_hub_id(start) and not Path(start).exists() else None,
            language=language,
            license=license,
            statistics={
                split: SplitStatistics.from_examples(examples, len(report.unaligned))
                for split, (examples, report) in (data or {}).items()
            },
        )

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the card as README.md into a folder."""
        self.to_card().save(Path(folder) / "README.md")

    def to_card(self) -> ModelCard:
        """The card, as `huggingface_hub` handles it."""
        body = TEMPLATES.get_template("model_card.md.jinja").render(
            card=self,
            config=self.config,
            title=self._title,
            overlap=_OVERLAPS[self.config.overlap],
            task=TASK,
            quoted_name=json.dumps(self.name, ensure_ascii=False),
            labels_table=labels_table(self.config.label2id, self.statistics),
            splits_table=splits_table(self.statistics),
            results_table=results_table(self.config.label2id, self.scores),
            settings_table=settings_table(self.hyperparameters, self.config),
            versions=", ".join(f"{package} {version(package)}" for package in _PACKAGES),
        )
        return ModelCard(f"---\n{self._metadata().to_yaml()}\n---\n\n{body}")

    def _metadata(self) -> ModelCardData:
        is_hub_dataset = "/" in self.dataset
        results = [
            EvalResult(
                task_type="token-classification",
                task_name="Named Entity Recognition",
                dataset_type=self.dataset if is_hub_dataset else "unknown",  # the Hub takes only ids here
                dataset_name=self.dataset,
                dataset_split=split,
                metric_type=metric,
                metric_name=metric_name,
                metric_value=float(scores[metric]),
                verified=False,
            )
            for split, scores in self.scores.items()
            for metric, metric_name in METRICS.items()
        ]
        return ModelCardData(
            language=self.language,
            license=self.license,
            library_name="transformers",
            # Of the tasks that the Hub knows, the one this is a kind of.
            pipeline_tag="token-classification",
            tags=_TAGS if self.config.overlap == "flat" else [*_TAGS, "nested-ner"],
            base_model=self.base_model,
            datasets=[self.dataset] if is_hub_dataset else None,
            metrics=list(METRICS) if results else None,
            model_name=self._title if results else None,
            eval_results=results or None,
        )

    @property
    def _title(self) -> str:
        return self.name.rpartition("/")[2]


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
