"""The stock token-classification head, and BERT-CRF: a linear-chain CRF (pytorch-crf) on the same head.

Both give a BIO tag to the first token of each word, by the tokenizer's own idea of a word. What overlaps a longer
entity cannot be told by tags and is left out of training. Texts longer than the encoder takes are read in windows that
share 128 tokens; the tag of a word is that of the window in which it is farthest from an end.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from job import Entities, Recognize, do, flat, labels_of, read_job, read_lines, strict_f1
from torch import Tensor, nn
from torchcrf import CRF
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint


# Tokens of a window, or what the tokenizer takes at most, and those that windows share, or a quarter of a window.
MAX_LENGTH, SHARED = 512, 128


class Tagger(nn.Module):
    """A token-classification model, whose tags may be those of a CRF."""

    def __init__(self, encoder: str, tags: Sequence[str], crf: bool) -> None:
        super().__init__()
        # Its head is named `classifier` with every encoder of these data sets' papers.
        self.model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=len(tags))
        self.crf = CRF(len(tags), batch_first=True) if crf else None

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """The mean loss: over tagged tokens, or with the CRF over texts."""
        logits = self.model(**inputs).logits
        if self.crf is None:
            assert labels is not None
            return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())}
        emissions, mask, tags = self._packed(logits, labels >= 0, labels)
        return {"loss": -self.crf(emissions, tags, mask=mask, reduction="mean")}

    @torch.no_grad()
    def tag(self, is_word: Tensor, **inputs: Tensor) -> list[list[int]]:
        """The tags of the tokens that begin words, of each row."""
        logits = self.model(**inputs).logits
        if self.crf is None:
            return [row[first].tolist() for row, first in zip(logits.argmax(-1), is_word, strict=True)]
        emissions, mask, _ = self._packed(logits, is_word, is_word.long())
        return self.crf.decode(emissions, mask=mask)

    @staticmethod
    def _packed(logits: Tensor, is_word: Tensor, tags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Emissions, mask and tags of the tokens that begin words alone."""
        lengths = is_word.sum(1).tolist()
        pack = nn.utils.rnn.pad_sequence
        mask = pack([torch.ones(length, dtype=torch.bool, device=logits.device) for length in lengths], True)
        return (
            pack(list(logits[is_word].split(lengths)), True),
            mask,
            pack(list(tags[is_word].split(lengths)), True),
        )


class TaggingTrainer(Trainer):
    """The stock Trainer, but the epoch is chosen by the F1 of entities, not by a loss."""

    def __init__(self, *args: Any, dev: list[dict[str, Any]], recognize: Recognize, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dev, self.recognize = dev, recognize

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The F1 on development data."""
        found = self.recognize([example["text"] for example in self.dev])
        metrics = {"eval_f1": strict_f1(self.dev, found)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def first_tokens(encoding: Any) -> list[int]:
    """The index of the first token of each word of a window."""
    words = encoding.word_ids
    return [i for i, word in enumerate(words) if word is not None and (i == 0 or words[i - 1] != word)]


def word_spans(encoding: Any) -> dict[int, tuple[int, int]]:
    """Start and end, in characters, of each word of a window by its number in the text."""
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            spans[word] = (spans.get(word, (start, end))[0], end)
    return spans


def features(example: dict[str, Any], tokenizer: Any, tags: Sequence[str]) -> dict[str, Any]:
    """The tokens of an example, and the tags of those that begin words."""
    encoded = tokenizer(example["text"], truncation=True, max_length=min(MAX_LENGTH, tokenizer.model_max_length))
    encoding = encoded.encodings[0]
    spans = list(word_spans(encoding).values())
    entities = []
    for entity in example["entities"]:
        inside = [i for i, (start, end) in enumerate(spans) if start < entity["end"] and entity["start"] < end]
        if inside:
            entities.append((inside[0], inside[-1], entity["label"]))
    word_tags = [tags.index("O")] * len(spans)
    for start, end, label in flat(entities):
        word_tags[start : end + 1] = [tags.index(f"B-{label}")] + [tags.index(f"I-{label}")] * (end - start)
    labels = [-100] * len(encoded["input_ids"])
    for token, tag in zip(first_tokens(encoding), word_tags, strict=True):
        labels[token] = tag
    return {**encoded, "labels": labels}


def entities_of(tags: Sequence[str], spans: Sequence[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """The entities that the tags of words tell; an I without its B begins one, as in conlleval."""
    entity: dict[str, Any] | None = None
    for tag, (start, end) in zip(tags, spans, strict=True):
        prefix, _, label = tag.partition("-")
        if entity is not None and prefix == "I" and label == entity["label"]:
            entity["end"] = end
            continue
        if entity is not None:
            yield entity
        entity = None if tag == "O" else {"start": start, "end": end, "label": label}
    if entity is not None:
        yield entity


def recognizer(tagger: Tagger, tokenizer: Any, tags: Sequence[str], batch_size: int = 32) -> Recognize:
    """What recognizes entities with a tagger."""

    def tag_windows(encoded: Any) -> Iterator[list[int]]:
        device = next(tagger.parameters()).device
        names = [name for name in tokenizer.model_input_names if name in encoded]
        tagger.eval()
        for start in range(0, len(encoded.encodings), batch_size):
            rows = range(start, min(start + batch_size, len(encoded.encodings)))
            batch = tokenizer.pad({name: [encoded[name][row] for row in rows] for name in names}, return_tensors="pt")
            is_word = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
            for index, row in enumerate(rows):
                is_word[index, first_tokens(encoded.encodings[row])] = True
            yield from tagger.tag(is_word=is_word.to(device), **batch.to(device))

    def recognize(texts: Sequence[str]) -> list[Entities]:
        length = min(MAX_LENGTH, tokenizer.model_max_length)
        encoded = tokenizer(
            list(texts),
            truncation=True,
            max_length=length,
            stride=min(SHARED, length // 4),
            return_overflowing_tokens=True,
        )
        # Of each word of each text: how far it is from an end of the window, its tag, its start and its end.
        best: list[dict[int, tuple[int, int, tuple[int, int]]]] = [{} for _ in texts]
        windows = zip(encoded["overflow_to_sample_mapping"], encoded.encodings, tag_windows(encoded), strict=True)
        for text, encoding, window_tags in windows:
            spans, last = word_spans(encoding), len(encoding.ids) - 1
            for token, (word, span), tag in zip(first_tokens(encoding), spans.items(), window_tags, strict=True):
                candidate = (min(token, last - token), tag, span)
                best[text][word] = max(best[text].get(word, candidate), candidate)
        results = []
        for words in best:
            chosen = [words[word] for word in sorted(words)]
            results.append(list(entities_of([tags[tag] for _, tag, _ in chosen], [span for *_, span in chosen])))
        return results

    return recognize


def train(job: dict[str, Any]) -> Recognize:
    """Fine-tune, or go on with it, and keep the epoch that is best on development data."""
    settings, folder = job["settings"], Path(job["folder"]) / "checkpoints"
    examples, dev = read_lines(job["train"]), read_lines(job["dev"])
    tags = ["O", *(f"{prefix}-{label}" for label in labels_of(examples) for prefix in "BI")]
    set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["encoder"])
    tagger = Tagger(job["encoder"], tags, crf=job["system"] == "bert-crf")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in tagger.named_parameters():
        rate = settings["head_lr"] if name.startswith(("model.classifier", "crf")) else settings["encoder_lr"]
        groups.setdefault((rate, 0.01 if parameter.dim() > 1 else 0.0), []).append(parameter)
    recognize = recognizer(tagger, tokenizer, tags)
    trainer = TaggingTrainer(
        tagger,
        TrainingArguments(
            str(folder),
            num_train_epochs=settings["epochs"],
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["encoder_lr"],
            warmup_steps=0.1,
            train_sampling_strategy="group_by_length",
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="f1",
            logging_strategy="epoch",
            remove_unused_columns=False,
            report_to="none",
            seed=job["seed"],
        ),
        DataCollatorForTokenClassification(tokenizer),
        [features(example, tokenizer, tags) for example in examples],
        # Only its being there counts: `evaluate` reads the texts.
        dev,
        dev=dev,
        recognize=recognize,
        optimizers=(
            torch.optim.AdamW(
                [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
            ),
            None,
        ),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.exists() else None)
    return recognize


if __name__ == "__main__":
    job = read_job()
    do(job, train)
