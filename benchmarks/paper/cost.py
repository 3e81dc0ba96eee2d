"""Table 4: what training and inference cost beside BERT-CRF, at the length distributions of three data sets.

    make -C benchmarks/paper cost ENCODER=... DATA=...

Batches have the lengths of texts of the training data, drawn at random, one token a character and two more, at most
512, and entities where theirs are. Tokens are random, but those that start and end an entity are of its label, so that
an encoder of any language serves and a head can learn to find the entities. Heads of spans are trained to that before
anything is timed, as a head that believes in everything, or in nothing, decodes at another pace; "as shipped" has the
longest span that `train` takes from the data, the others have none, as in the paper. All systems take turns on
the same batches. "Whole" is encoder and head, forward and backward, or forward and decoding; "head" is the head alone
on the encoder's hidden states. A time is the median over rounds of the sum over batches.
"""

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from data_sets import DATA_SETS
from harness import medians, report
from job import flat, labels_of, read_lines
from tagging import Tagger
from torch import Tensor, nn
from torchcrf import CRF

from hf_globalpointer import EncoderForEfficientGlobalPointer, EncoderForGlobalPointer, SpanScores
from hf_globalpointer.modeling.loss_global_pointer import class_imbalance_loss
from hf_globalpointer.modeling.span_labels import spans_from_labels


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The class of each model, and whether it knows the longest span.
MODELS = {
    "efficient": (EncoderForEfficientGlobalPointer, False),
    "full": (EncoderForGlobalPointer, False),
    "as shipped": (EncoderForEfficientGlobalPointer, True),
}
Batch = dict[str, Tensor]
# Of the vocabulary: what starts, what ends, and what is an entity of the first label; and what is none.
STARTS, ENDS, SINGLE, OTHERS = 2000, 2100, 2200, range(3000, 20_000)
# The steps in which a head is trained, and the rate.
STEPS, RATE = 200, 1e-3


def batches(path: Path, labels: list[str], size: int, number: int, most_tokens: int) -> list[tuple[Batch, Tensor]]:
    """Inputs with span labels, and BIO tags of the same texts."""
    examples = read_lines(str(path))
    generator = random.Random(0)
    torch.manual_seed(0)
    result = []
    for _ in range(number):
        texts = generator.sample(examples, size)
        lengths = [min(len(text["text"]) + 2, most_tokens) for text in texts]
        n = max(lengths)
        mask = torch.arange(n) < torch.tensor(lengths)[:, None]
        rows = []
        for text, length in zip(texts, lengths, strict=True):
            entities = [(e["start"] + 1, e["end"], e["label"]) for e in text["entities"] if e["end"] < length - 1]
            rows.append(
                torch.tensor(
                    [[labels.index(label), start, end] for start, end, label in entities], dtype=torch.long
                ).view(-1, 3)
            )
        tags = torch.zeros(size, n, dtype=torch.long)
        for row, spans in enumerate(rows):
            for start, end, label in flat([(start, end, label) for label, start, end in spans.tolist()]):
                tags[row, start : end + 1] = 2 * int(label) + 2
                tags[row, start] = 2 * int(label) + 1
        input_ids = torch.randint(OTHERS.start, OTHERS.stop, (size, n))
        for row, spans in enumerate(rows):
            for label, start, end in spans.tolist():
                input_ids[row, start], input_ids[row, end] = STARTS + label, ENDS + label
                if start == end:
                    input_ids[row, start] = SINGLE + label
        inputs = {
            "input_ids": input_ids,
            "attention_mask": mask.long(),
            "labels": nn.utils.rnn.pad_sequence(rows, True, -100),
        }
        result.append(({name: value.to(DEVICE) for name, value in inputs.items()}, tags.to(DEVICE)))
    return result


class CrfSystem:
    """Training and inference of BERT-CRF: the whole model, and its head on the hidden states."""

    def __init__(self, encoder: str, labels: list[str], data: list[tuple[Batch, Tensor]]) -> None:
        tags = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
        self.data = data
        self.tagger = Tagger(encoder, tags, crf=True).to(DEVICE)
        hidden_size = self.tagger.model.config.hidden_size
        self.states = hidden_states(self.tagger.model.base_model, data)
        self.linear = nn.Linear(hidden_size, len(tags)).to(DEVICE)
        self.crf = CRF(len(tags), batch_first=True).to(DEVICE)

    def train_whole(self) -> None:
        """Forward and backward."""
        self.tagger.train()
        for inputs, tags in self.data:
            labels = tags.masked_fill(inputs["attention_mask"] == 0, -100)
            self.tagger(labels=labels, **without_labels(inputs))["loss"].backward()

    def predict_whole(self) -> None:
        """The best tags."""
        self.tagger.eval()
        for inputs, _ in self.data:
            self.tagger.tag(is_word=inputs["attention_mask"].bool(), **without_labels(inputs))

    def train_head(self) -> None:
        """Forward and backward, down to the hidden states."""
        for (inputs, tags), hidden in zip(self.data, self.states, strict=True):
            mask = inputs["attention_mask"].bool()
            # As the model has it, and as the heads of spans have it too.
            dropped = nn.functional.dropout(hidden, 0.1)
            (-self.crf(self.linear(dropped), tags, mask=mask, reduction="mean")).backward()

    @torch.no_grad()
    def predict_head(self) -> None:
        """The best tags of the hidden states."""
        for (inputs, _), hidden in zip(self.data, self.states, strict=True):
            self.crf.decode(self.linear(hidden), mask=inputs["attention_mask"].bool())


class SpanSystem:
    """The same of a span model, whose head is trained until it finds the entities."""

    def __init__(
        self, kind: str, encoder: str, labels: list[str], data: list[tuple[Batch, Tensor]], longest: int
    ) -> None:
        self.data = data
        model_class, is_bounded = MODELS[kind]
        # As `find_span_rules` has it.
        bound = max(16, 2 * longest) if is_bounded else None
        self.model = model_class.from_encoder_pretrained(encoder, labels=labels, max_span_length=bound).to(DEVICE)
        self.states = hidden_states(self.model.base_model, data)
        optimizer = torch.optim.AdamW(self.model.classifier.parameters(), lr=RATE)
        for _ in range(STEPS):
            self.train_head()
            optimizer.step()
            optimizer.zero_grad()
        gold = sum(int((inputs["labels"][..., 0] >= 0).sum()) for inputs, _ in data)
        self.predicted = self.predict_head() / gold

    def train_whole(self) -> None:
        """Forward and backward."""
        self.model.train()
        for inputs, _ in self.data:
            self.model(**inputs).loss.backward()

    @torch.no_grad()
    def predict_whole(self) -> int:
        """The number of predicted spans, flat."""
        self.model.eval()
        scores = (self.model.span_scores(**without_labels(inputs)) for inputs, _ in self.data)
        return sum(self._decode(each) for each in scores)

    def train_head(self) -> None:
        """Forward and backward, down to the hidden states."""
        self.model.train()
        for (inputs, _), hidden in zip(self.data, self.states, strict=True):
            scores = self.model.classifier(hidden, inputs["attention_mask"])
            labels = spans_from_labels(inputs["labels"], scores.num_labels, scores.mask, scores.max_span_length)
            class_imbalance_loss(scores, labels).backward()

    @torch.no_grad()
    def predict_head(self) -> int:
        """The number of predicted spans of the hidden states, flat."""
        self.model.eval()
        pairs = zip(self.data, self.states, strict=True)
        scores = (self.model.classifier(hidden, inputs["attention_mask"]) for (inputs, _), hidden in pairs)
        return sum(self._decode(each) for each in scores)

    def _decode(self, scores: SpanScores) -> int:
        return int((self.model.decode(scores).select("flat").spans[..., 0].cpu() >= 0).sum())


def without_labels(inputs: Batch) -> Batch:
    """What the encoder takes."""
    return {name: value for name, value in inputs.items() if name != "labels"}


def hidden_states(encoder: nn.Module, data: list[tuple[Batch, Tensor]]) -> list[Tensor]:
    """The hidden states of batches, which take gradients."""
    encoder.eval()
    with torch.no_grad():
        states = [encoder(**without_labels(inputs)).last_hidden_state for inputs, _ in data]
    return [each.requires_grad_() for each in states]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="folder or Hub id of a pretrained encoder")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets: see data_sets.py")
    parser.add_argument("--sets", nargs="+", default=["peopledaily", "cluener", "cmeee-v2"], choices=sorted(DATA_SETS))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets:
        path = arguments.data / DATA_SETS[name].train
        examples = read_lines(str(path))
        labels = labels_of(examples)
        longest = max(entity["end"] - entity["start"] for example in examples for entity in example["entities"])
        data = batches(path, labels, arguments.batch_size, arguments.batches, 512)
        systems: dict[str, Any] = {"BERT-CRF": CrfSystem(arguments.encoder, labels, data)}
        systems |= {kind: SpanSystem(kind, arguments.encoder, labels, data, longest) for kind in MODELS}
        tokens = sum(int(inputs["attention_mask"].sum()) for inputs, _ in data)
        for what in ("train_whole", "predict_whole", "train_head", "predict_head"):
            times = medians({name: getattr(system, what) for name, system in systems.items()}, arguments.rounds)
            row: dict[str, Any] = {
                "data": name,
                "labels": len(labels),
                "tokens": tokens,
                "what": what.replace("_", ", "),
            }
            row["BERT-CRF"] = f"{times['BERT-CRF'] * 1e3:.0f} ms"
            for kind in MODELS:
                row |= {kind: f"{times[kind] * 1e3:.0f} ms", f"{kind}: times faster": times["BERT-CRF"] / times[kind]}
            if what == "predict_head":
                row["predicted for each entity"] = ", ".join(f"{systems[kind].predicted:.2f}" for kind in MODELS)
            rows.append(row)
            print(row, flush=True)
    report(__file__, f"Cost beside BERT-CRF, {Path(arguments.encoder).name}, batches of {arguments.batch_size}", rows)


if __name__ == "__main__":
    main()
