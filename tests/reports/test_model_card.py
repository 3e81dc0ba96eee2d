import json
import re
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers.trainer
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from markdown_it import MarkdownIt
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Trainer, TrainingArguments
from transformers.modelcard import METRIC_TAGS, TASK_TAG_TO_NAME_MAPPING

from conftest import LABELS, TINY, make_char_tokenizer, make_model
from hf_globalpointer import (
    BertForGlobalPointer,
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    EncoderForEfficientGlobalPointer,
    Entity,
    Example,
    GlobalPointerModelCard,
    GlobalPointerNerPipeline,
    GlobalPointerTrainer,
    ModelCardCallback,
    encode_examples,
    parameter_groups,
)
from hf_globalpointer.cli import main
from hf_globalpointer.data import AlignmentReport
from hf_globalpointer.data.statistics import SplitStatistics


SCORES = {"precision": 0.75, "recall": 0.5, "f1": 0.6, "macro_precision": 0.4, "macro_recall": 0.3, "macro_f1": 1 / 3}
# What the Hub is known to require of `dataset.type`.
HUB_ID = re.compile(r"([\w-]+/)?[\w.-]+", re.ASCII)


def make_card(
    name: str = "my-ner", dataset: str = "letters", labels: Sequence[str] = LABELS, **more: object
) -> GlobalPointerModelCard:
    return GlobalPointerModelCard.from_model(make_model("efficient", labels=labels), name, dataset, **more)


def make_encoder(folder: Path) -> None:
    make_char_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)


def saved(card: GlobalPointerModelCard, folder: Path) -> ModelCard:
    card.save(folder)
    return ModelCard.load(folder / "README.md")


def scores_of(folder: Path) -> dict[str, float]:
    results = ModelCard.load(folder / "README.md").data.eval_results or []
    return {result.metric_type: result.metric_value for result in results}


def tables(markdown: str) -> list[list[list[str]]]:
    """The text of every cell, as it is shown, of every row of every table."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for token, content in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        if token.type == "tr_open":
            found[-1].append([])
        if token.type in ("td_open", "th_open"):
            assert not {child.type for child in content.children} & {"link_open", "em_open", "html_inline"}
            found[-1][-1].append("".join(child.content for child in content.children))
    return found


# --- metadata


def test_metadata_are_what_the_hub_takes_and_come_back_as_they_were(tmp_path: Path) -> None:
    model = make_model("full")
    model.name_or_path = "google-bert/bert-base-cased"
    card = GlobalPointerModelCard.from_model(model, "org/my-ner", "org/news", language="no", license="apache-2.0")
    card.scores = {"dev": SCORES, "test": {**SCORES, "f1": 0.1 + 0.2}}
    data = saved(card, tmp_path).data
    assert data.library_name == "transformers"
    assert data.pipeline_tag in TASK_TAG_TO_NAME_MAPPING
    assert {"hf-globalpointer", "global-pointer-ner", "named-entity-recognition", "nested-ner"} <= set(data.tags)
    assert (data.language, data.license) == ("no", "apache-2.0")  # not `False`, which a bare `no` is in YAML
    assert (data.base_model, data.datasets) == ("google-bert/bert-base-cased", ["org/news"])
    assert set(data.metrics) <= set(METRIC_TAGS)
    assert data.model_name == "my-ner"
    assert data.eval_results == [
        EvalResult(
            task_type="token-classification", task_name="Named Entity Recognition", dataset_type="org/news",
            dataset_name="org/news", dataset_split=split, metric_type=name, metric_name=shown, metric_value=value,
            verified=False,
        )
        for split, f1 in (("dev", 0.6), ("test", 0.1 + 0.2))
        for name, shown, value in (("precision", "precision", 0.75), ("recall", "recall", 0.5), ("f1", "F1", f1))
    ]  # fmt: skip
    index = data.to_dict()["model-index"]
    assert model_index_to_eval_results(index) == (data.model_name, data.eval_results)
    assert eval_results_to_model_index("my-ner", data.eval_results) == index
    for result in index[0]["results"]:
        assert set(result) == {"task", "dataset", "metrics"}
        assert HUB_ID.fullmatch(result["dataset"]["type"])


def test_what_is_not_known_is_not_in_the_card(tmp_path: Path) -> None:
    card = saved(make_card(), tmp_path)
    known = {name for name, value in card.data.to_dict().items() if value is not None}
    assert known == {"library_name", "pipeline_tag", "tags"}
    assert "## Results" not in card.text
    assert not re.search("none|null|nan|unknown|more information", card.text, re.IGNORECASE)


def test_data_that_are_not_on_the_hub_have_a_name_and_no_id(tmp_path: Path) -> None:
    card = make_card(dataset="news: 2024 | 'best' #1 新闻 🙂")
    card.scores = {"dev": SCORES}
    loaded = saved(card, tmp_path)
    assert loaded.data.datasets is None
    assert {result.dataset_name for result in loaded.data.eval_results} == {card.dataset}
    assert all(HUB_ID.fullmatch(result.dataset_type) for result in loaded.data.eval_results)


def test_a_path_is_no_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_encoder(Path("org/encoder"))
    for start in ("org/encoder", "./org/encoder", tmp_path / "org" / "encoder"):
        for model in (
            BertForGlobalPointer.from_pretrained(start, labels=LABELS),
            EncoderForEfficientGlobalPointer.from_encoder_pretrained(start, labels=LABELS),
        ):
            card = GlobalPointerModelCard.from_model(model, "my-ner", "letters")
            shutil.move("org", "moved")  # what counts is where it was when the card was begun
            content = str(card.to_card())
            shutil.move("moved", "org")
            assert "base_model" not in content
            assert "org/encoder" not in content
            assert str(tmp_path) not in content


def test_the_encoder_under_a_new_head_is_the_base_model(tmp_path: Path) -> None:
    make_encoder(tmp_path)
    model = EncoderForEfficientGlobalPointer.from_encoder_pretrained(tmp_path, labels=LABELS)
    model.base_model.name_or_path = "FacebookAI/roberta-base"
    card = GlobalPointerModelCard.from_model(model, "my-ner", "letters").to_card()
    assert card.data.base_model == "FacebookAI/roberta-base"
    assert "Efficient GlobalPointer" in card.text
    assert "`EncoderForEfficientGlobalPointer`" in card.text
    assert "`BertModel`, hidden size 16" in card.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "/home/me/my-ner"}, {"name": "a/b/c"}, {"name": ""}, {"dataset": "/data/train.jsonl"},
        {"dataset": "../data"}, {"language": "English"}, {"license": "Apache 2.0"},
    ],
)  # fmt: skip
def test_what_the_hub_would_reject_is_an_error(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(*wrong.values()))):
        make_card(**wrong)


# --- text


def test_labels_are_shown_letter_by_letter() -> None:
    labels = [
        "a|b", "a\\|b", "a\\", "*x*", "_x_", "per_loc", "`x`", "<b>", "&amp;", "&#124;", "[x](y)", "~~x~~", "'q'",
        '"q"', "k: v", "- x", "# x", "1. x", "@me", "$x$", ":smile:", "---", "{}", "{0}", "micro", "https://a.b/c",
        "人名", "🙂",
    ]  # fmt: skip
    card = make_card(labels=labels)
    examples = [Example("x", (Entity(0, 1, label),)) for label in labels]
    report = AlignmentReport(len(labels))
    card.statistics["train|*1*"] = SplitStatistics.from_examples(examples, len(report.unaligned))
    card.config.thresholds = dict.fromkeys(labels, 0.25)
    card.scores = {"dev": SCORES | {f"f1_{label}": index / 100 for index, label in enumerate(labels)}}
    types, splits, results, settings = tables(card.to_card().text)
    assert types == [["type", "train|*1*"], *([label, "1"] for label in labels)]
    assert splits[1][:3] == ["train|*1*", "28", "28"]
    assert [row[0] for row in results[1:]] == [*labels, "micro", "macro"]
    assert [row[3] for row in results[1:-2]] == [f"{index / 100:.4f}" for index in range(len(labels))]
    assert results[-2:] == [["micro", "0.7500", "0.5000", "0.6000"], ["macro", "0.4000", "0.3000", "0.3333"]]
    assert dict(settings)["thresholds"] == ", ".join(f"{label}: 0.25" for label in labels)
    assert dict(settings)["span_loss"] == "class_imbalance"


@pytest.mark.parametrize(("name", "title"), [("org/my-ner", "my-ner"), ('模型 🙂 *2*: "x"', '模型 🙂 *2*: "x"')])
def test_the_title_and_the_usage_code_name_the_model(name: str, title: str) -> None:
    card = make_card(name).to_card()
    heading = MarkdownIt().parse(card.text)[1]
    assert "".join(child.content for child in heading.children) == title
    loaded = re.search(r'model=(".*")\)', card.text)
    assert loaded is not None
    assert eval(loaded[1]) == name
    assert ("by the path of its folder" in card.text) == ("/" not in name)


# --- training


def letters(count: int) -> list[Example]:
    words = ["ab", "xz", "qyq"]
    texts = [" ".join(words[(index + shift) % 3] for shift in range(3)) for index in range(count)]
    return [Example(text, (Entity(text.index("xz"), text.index("xz") + 2, "date"),)) for text in texts]


def make_trainer(
    output: Path, trainer_class: type[Trainer] = Trainer, **arguments: object
) -> tuple[Trainer, GlobalPointerModelCard]:
    tokenizer: PreTrainedTokenizerFast = make_char_tokenizer()
    model = make_model("efficient")
    examples = letters(8)
    features, report = encode_examples(examples, tokenizer, model.config.label2id)
    card = GlobalPointerModelCard.from_model(model, "my-ner", "letters", data={"train": (examples, report)})
    defaults = {
        "eval_strategy": "epoch", "save_strategy": "epoch", "num_train_epochs": 3, "per_device_train_batch_size": 4,
        "report_to": "none", "dataloader_pin_memory": False, "warmup_steps": 1,
    }  # fmt: skip
    trainer = trainer_class(
        model=model,
        args=TrainingArguments(str(output), **{**defaults, **arguments}),
        train_dataset=features,
        eval_dataset=features,
        data_collator=DataCollatorForGlobalPointer(tokenizer),
        compute_metrics=ComputeSpanMetrics(model.config.id2label),
        processing_class=tokenizer,
        callbacks=[ModelCardCallback(card)],
        optimizers=(torch.optim.AdamW(parameter_groups(model, encoder_lr=0.01, head_lr=0.02)), None),
    )
    return trainer, card


def measured(trainer: Trainer, step: int) -> dict[str, float]:
    (entry,) = (entry for entry in trainer.state.log_history if entry["step"] == step and "eval_f1" in entry)
    return {name: entry[f"eval_{name}"] for name in ("precision", "recall", "f1")}


def epoch_of(folder: Path) -> float:
    found = re.search(r"The weights are those after epoch ([\d.]+)\.\n", (folder / "README.md").read_text())
    assert found is not None
    return float(found[1])


def test_each_checkpoint_has_a_card_with_its_own_scores_also_after_resuming(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path, num_train_epochs=2)
    trainer.train()
    trainer, _ = make_trainer(tmp_path, num_train_epochs=4)
    trainer.train(resume_from_checkpoint=True)
    for epoch in (1, 2, 3, 4):
        folder = tmp_path / f"checkpoint-{2 * epoch}"
        assert scores_of(folder) == measured(trainer, 2 * epoch)
        assert epoch_of(folder) == epoch
    assert len({tuple(measured(trainer, step).values()) for step in (2, 4, 6, 8)}) > 1
    assert (tmp_path / "README.md").read_text() == (tmp_path / "checkpoint-8" / "README.md").read_text()
    settings = dict(tables((tmp_path / "README.md").read_text())[-1])
    assert (settings["optimizer"], settings["learning_rate"], settings["weight_decay"]) == (
        "AdamW",
        "0.01, 0.02",
        "0.01, 0",
    )
    assert (settings["num_train_epochs"], settings["seed"]) == ("4", "42")


def test_the_last_card_is_that_of_the_weights_that_training_ends_with(tmp_path: Path) -> None:
    trainer, card = make_trainer(
        tmp_path, load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=True
    )
    trainer.train()
    best = trainer.state.best_global_step
    assert best < trainer.state.global_step
    assert scores_of(tmp_path) == measured(trainer, best)
    assert epoch_of(tmp_path) == best / 2
    # A later evaluation of the same weights agrees, and may be added.
    card.scores["test"] = {k.removeprefix("test_"): v for k, v in trainer.evaluate(metric_key_prefix="test").items()}
    values = {(r.dataset_split, r.metric_type): r.metric_value for r in card.to_card().data.eval_results}
    assert {values["test", name] - values["dev", name] for name in ("precision", "recall", "f1")} == {0}


def test_weights_that_were_not_evaluated_have_no_scores(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path, eval_strategy="steps", eval_steps=3, save_strategy="steps", save_steps=1)
    trainer.train()
    for step in (1, 2, 4, 5):
        assert scores_of(tmp_path / f"checkpoint-{step}") == {}
        assert epoch_of(tmp_path / f"checkpoint-{step}") == step / 2
    for step in (3, 6):
        assert scores_of(tmp_path / f"checkpoint-{step}") == measured(trainer, step)


def test_a_hyper_parameter_search_writes_no_cards(tmp_path: Path) -> None:
    trainer, card = make_trainer(tmp_path)
    trainer.state.is_hyper_param_search = True
    callback = ModelCardCallback(card)
    for event in (callback.on_save, callback.on_train_end):
        event(trainer.args, trainer.state, trainer.control, optimizer=trainer.optimizer)
    assert not list(tmp_path.rglob("README.md"))


@pytest.mark.parametrize("trainer_class", [GlobalPointerTrainer, Trainer])
def test_our_trainer_pushes_the_card_and_the_stock_one_a_draft(
    trainer_class: type[Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = []

    def upload_folder(folder_path: str, **_: object) -> SimpleNamespace:
        file = Path(folder_path, "README.md")
        pushed.append(file.read_text() if file.exists() else None)
        return SimpleNamespace(done=lambda: True, is_done=lambda: True)

    hub = SimpleNamespace(
        create_repo=lambda *_, **__: SimpleNamespace(repo_id="me/my-ner"), upload_folder=upload_folder
    )
    monkeypatch.setattr(transformers.trainer, "hf_api", lambda: hub)
    trainer, card = make_trainer(tmp_path, trainer_class, num_train_epochs=1, push_to_hub=True)
    trainer.train()
    assert pushed == [None]  # what is pushed while training comes before the callback
    ours = str(card.to_card())
    assert (tmp_path / "README.md").read_text() == ours
    trainer.save_model()
    if trainer_class is GlobalPointerTrainer:
        assert pushed[-1] == ours
        trainer.remove_callback(ModelCardCallback)
        trainer.push_to_hub()
    assert "generated_from_trainer" in pushed[-1]
    assert "global-pointer-ner" not in pushed[-1]


# --- command line


@pytest.fixture(scope="module")
def files_to_train_with(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("secret-place")
    encoder = folder / "org" / "encoder"
    make_encoder(encoder)
    options = ["--encoder", str(encoder), "--epochs", "2", "--head-lr", "0.05", "--patience", "9"]
    for split in ("train", "dev", "test"):
        # The last one has an entity that begins inside a token.
        odd = {"text": "XYxz", "entities": [{"start": 1, "end": 4, "label": "place"}]}
        records = [
            {"text": e.text, "entities": [{"start": x.start, "end": x.end, "label": x.label} for x in e.entities]}
            for e in letters(9)
        ]
        file = folder / f"{split}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in [*records, odd]))
        options += [f"--{split}", str(file)]
    return options


def run_train(*options: str) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["train", *options])
    return int(exit.value.code or 0)


def test_the_command_writes_a_card_whose_code_runs_as_pasted(
    files_to_train_with: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "letters-ner"
    assert run_train(*files_to_train_with, "--output", str(output), "--language", "en") == 0
    card = ModelCard.load(output / "README.md")
    metrics = json.loads((output / "metrics.json").read_text())
    values = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert values == {
        (split, name): metrics[split][name] for split in ("dev", "test") for name in ("precision", "recall", "f1")
    }
    assert {result.dataset_name for result in card.data.eval_results} == {"train"}
    types, splits, results, settings = tables(card.text)
    assert types == [["type", "train", "dev", "test"], ["date", "9", "9", "9"], ["place", "1", "1", "1"]]
    assert splits[1] == ["train", "10", "10", "0 (0.0%)", str(metrics["unaligned_entities"]["train"])]
    shown = [
        f"{metrics[split][f'{name}_date']:.4f}" for split in ("dev", "test") for name in ("precision", "recall", "f1")
    ]
    assert results[1] == ["date", *shown]
    assert dict(settings) | {"learning_rate": "0.0001 (encoder), 0.05 (head)", "patience": "9"} == dict(settings)
    for secret in ("secret-place", str(tmp_path), "base_model", str(Path.home()), str(Path.cwd())):
        assert secret not in str(card)

    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert code.count('"letters-ner"') == 1
    capsys.readouterr()
    namespace: dict[str, object] = {}
    exec(compile(code.replace("letters-ner", str(output)), "README.md", "exec"), namespace)
    assert isinstance(namespace["recognize"], GlobalPointerNerPipeline)
    for line in capsys.readouterr().out.splitlines():
        assert re.fullmatch(r"(date|place) \d+ \d+ .* 0\.\d+(e-\d+)?", line)


def test_the_options_of_the_card(files_to_train_with: list[str], tmp_path: Path) -> None:
    options = ["--model-id", "org/letters", "--dataset-name", "org/abc", "--license", "mit", "--epochs", "1"]
    assert run_train(*files_to_train_with, "--output", str(tmp_path / "x"), *options) == 0
    card = ModelCard.load(tmp_path / "x" / "README.md")
    assert (card.data.model_name, card.data.datasets, card.data.license) == ("letters", ["org/abc"], "mit")
    assert 'model="org/letters"' in card.text


@pytest.mark.parametrize(
    ("option", "value"),
    [("--model-id", "letters"), ("--model-id", "a/b/c"), ("--dataset-name", "/data/abc"), ("--language", "English")],
)
def test_what_the_hub_would_reject_is_said_before_training(
    files_to_train_with: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert run_train(*files_to_train_with, "--output", str(tmp_path / "x"), option, value) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("hf-globalpointer: ")
    assert value in last
    assert not list((tmp_path / "x").glob("*"))


def test_the_card_says_the_rules_of_the_data(tmp_path: Path) -> None:
    card = make_card()
    assert (
        "entities may be nested, cross each other and share a span; they are of any length."
        in saved(card, tmp_path).content
    )
    card.config.overlap, card.config.max_span_length, card.config.max_length = "flat", 28, 192
    content = saved(card, tmp_path).content
    assert "entities do not overlap; they have at most 28 tokens." in content
    assert "Texts longer than 192 tokens are read in overlapping windows" in content
    settings = [row for table in tables(content) for row in table]
    assert all(row in settings for row in (["overlap", "flat"], ["max_span_length", "28"], ["max_length", "192"]))
