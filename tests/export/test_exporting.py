"""Exported models give what the pipeline gives: of every class, head and kind of encoder, in every format."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoConfig, AutoModel

from conftest import LABELS, Exported, Run, examples_for, make_char_tokenizer, make_pipeline, random_texts
from hf_globalpointer import (
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
    Example,
    ExportError,
    GlobalPointerNerPipeline,
    Recognizer,
    export_model,
)
from hf_globalpointer.export import comparison, exporting
from hf_globalpointer.modeling.text_recognizer import Options
from hf_globalpointer.runtime import engines


SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 42,
}
# Runs without torch and Transformers: as if they were not installed.
WITHOUT_TORCH = """
import importlib.machinery, json, sys
find = importlib.machinery.PathFinder.find_spec
missing = ("torch", "transformers", "huggingface_hub", "datasets", "accelerate", "evaluate", "safetensors")
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, *more: None if name.split(".")[0] in missing else find(name, *more)
)
import hf_globalpointer
if sys.argv[1] == "predict":
    from hf_globalpointer_cli import main
    raise SystemExit(main())
from hf_globalpointer import Recognizer
found = Recognizer.from_pretrained(sys.argv[1])(json.load(sys.stdin), batch_size=4, threshold=0.02)
assert not [name for name in missing if name in sys.modules]
print(json.dumps(found))
"""


def encoder_pipeline(family: str, tmp_path: Path, head: type[Any], **fields: Any) -> GlobalPointerNerPipeline:
    """A tiny model with an encoder of this family."""
    sizes = {**SIZES}
    if family == "distilbert":
        sizes = {
            "vocab_size": 100,
            "dim": 16,
            "n_layers": 1,
            "n_heads": 2,
            "hidden_dim": 24,
            "max_position_embeddings": 42,
        }
    if family == "modernbert":
        sizes |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    if family == "deberta-v2":
        sizes |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    AutoModel.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(tmp_path / "encoder")
    model = head.from_encoder_pretrained(tmp_path / "encoder", labels=LABELS, head_size=8, **fields).eval()
    return GlobalPointerNerPipeline(model=model, tokenizer=make_char_tokenizer(), task="global-pointer-ner")


def check_same(pipe: GlobalPointerNerPipeline, recognizer: Recognizer) -> None:
    """Compare entities and probabilities on texts of one window and of several, with every option that matters."""
    texts = [text.title() if index % 2 else text for index, text in enumerate(random_texts(24))]
    num_found = 0
    for options in ({"threshold": 0.02}, {"threshold": {LABELS[0]: 0.1}, "overlap": "flat", "word_aligned": True}):
        expected = pipe(texts, batch_size=4, max_length=20, **options)
        found = recognizer(texts, batch_size=4, max_length=20, **options)
        for ours, theirs in zip(found, expected, strict=True):
            places = [[(e["start"], e["end"], e["entity_group"], e["word"]) for e in each] for each in (ours, theirs)]
            assert places[0] == places[1]
            assert [e["score"] for e in ours] == pytest.approx([e["score"] for e in theirs], abs=1e-4)
        num_found += sum(map(len, expected))
    assert num_found > 50


def test_capitals_are_marked_there_too(exported: Exported) -> None:
    """The tokenizer of characters gives no segment ids of its own."""
    pipe, folder = exported
    texts = [text.title() for text in random_texts(24)]
    check_same(pipe, Recognizer(folder))
    for recognize in (pipe, Recognizer(folder)):
        marked, unmarked = (
            recognize(texts, threshold=0.02),
            recognize([text.lower() for text in texts], threshold=0.02),
        )
        assert [[e["score"] for e in each] for each in marked] != [[e["score"] for e in each] for each in unmarked]


@pytest.mark.parametrize(("name", "value"), [("calibration", None), ("mark_capitals", False)])
def test_a_folder_from_before_there_was_a_setting_loads(
    name: str, value: object, exported: Exported, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported[1], tmp_path / "old")
    content = json.loads((folder / "export.json").read_text())
    assert content["settings"].pop(name)
    (folder / "export.json").write_text(json.dumps(content))
    assert getattr(Recognizer(folder).settings, name) is value


def test_onnx_is_the_same_and_says_so(exported: Exported) -> None:
    pipe, folder = exported
    check_same(pipe, Recognizer.from_pretrained(folder))
    content = json.loads((folder / "export.json").read_text())
    assert content["settings"]["thresholds"] == {LABELS[1]: 0.4}
    assert content["comparison"]["different_entities"] == 0
    assert content["comparison"]["original_f1"] == content["comparison"]["exported_f1"] > 0
    assert content["comparison"]["entities"] > 10
    # The graph gives factors, and no scores of spans.
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "export.json", "model.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json"),
    ]


def test_it_runs_where_torch_and_transformers_are_not_installed(
    exported: Exported,
) -> None:
    folder = exported[1]
    texts = random_texts(12)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(folder)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    assert json.loads(done.stdout) == Recognizer(folder)(texts, batch_size=4, threshold=0.02)


def test_predict_runs_there_too_and_says_what_a_checkpoint_takes(exported: Exported, tmp_path: Path) -> None:
    folder = exported[1]
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", "abc", "--model"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)["entities"]
    assert [(e["start"], e["end"]) for e in found] == [(e["start"], e["end"]) for e in Recognizer(folder)("abc")]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is no exported model, and to load a checkpoint takes transformers: pip install" in done.stderr


@pytest.mark.parametrize(
    ("family", "head", "format", "fields"),
    [
        ("deberta-v2", EncoderForEfficientGlobalPointer, "onnx", {"span_representation": "hidden"}),
        ("modernbert", EncoderForEfficientGlobalPointer, "openvino", {}),
        ("distilbert", EncoderForGlobalPointer, "openvino", {"use_rope": False, "max_span_length": 5}),
    ],
)
def test_other_encoders_and_heads(
    family: str, head: type[Any], format: Any, fields: dict[str, Any], tmp_path: Path
) -> None:
    pipe = encoder_pipeline(family, tmp_path, head, **fields)
    found = export_model(pipe, tmp_path / "out", format, examples=[Example(text) for text in random_texts(8)])
    assert found.different_entities == 0
    assert found.original_f1 is None
    check_same(pipe, Recognizer.from_pretrained(tmp_path / "out"))


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_streams_give_the_same_in_order(format: Any, exported: Exported, tmp_path: Path) -> None:
    pipe, folder = exported
    if format == "openvino":
        folder = tmp_path / "out"
        export_model(pipe, folder, format)
    texts = [*random_texts(24), ""]
    counts: dict[int, list[int]] = {1: [], 3: []}
    found = {}
    for streams, done in counts.items():
        recognizer = Recognizer.from_pretrained(folder, streams=streams)
        found[streams] = recognizer.recognize(texts, 4, Options(threshold=0.02, max_length=20), done.append)
        with pytest.raises(TypeError, match="takes text"):
            recognizer([*texts, 3], batch_size=4)
    assert counts[1] == counts[3]
    assert len(counts[1]) > 3
    assert sum(map(len, found[1])) > 50
    for one, three in zip(*found.values(), strict=True):
        scores = [[entity.pop("score") for entity in entities] for entities in (one, three)]
        assert one == three
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    for streams in (0, 1.5, True):
        with pytest.raises(ValueError, match="`streams` must be a whole number of at least 1"):
            Recognizer(folder, streams=streams)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("format", "quantized", "info", "warns"),
    [
        ("openvino", "int8", "flags : fpu avx2\n", True),
        ("openvino", "int8", "flags : fpu avx512_vnni\n", False),
        ("openvino", "int8", "Features : asimd\n", False),
        ("openvino", "int8", None, False),
        ("openvino", None, "flags : fpu avx2\n", False),
        ("onnx", "int8", "flags : fpu avx2\n", False),
    ],
)
def test_int8_that_may_overflow_on_this_processor_is_said(
    format: str,
    quantized: str | None,
    info: str | None,
    warns: bool,
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.setattr(engines, "CPU_INFO", tmp_path / "cpuinfo")
    if info:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{info}")
    # Whatever the graph is, only what the folder says counts here.
    monkeypatch.setitem(engines.ENGINES, "openvino", engines.OnnxEngine)
    folder = tmp_path / "folder"
    shutil.copytree(exported[1], folder)
    content = json.loads((folder / "export.json").read_text())
    content["settings"] |= {"format": format, "quantized": quantized}
    (folder / "export.json").write_text(json.dumps(content))
    Recognizer(folder)
    assert any("lacks: sums may overflow" in str(each.message) for each in recwarn) == warns


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_rounds_the_encoder_and_not_the_head(
    format: Any, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, folder = exported

    # To trace it again would take most of the time of this test.
    def copy_graph(model: Any, inputs: list[str], into: Path) -> None:
        for name in ("model.onnx", "model.onnx.data"):
            shutil.copy(folder / name, into)

    monkeypatch.setattr(exporting, "export_graph", copy_graph)
    examples = examples_for(pipe)
    found = export_model(pipe, tmp_path / "out", format, quantize="int8", examples=examples, max_f1_loss=100)
    assert 0 < found.score_difference < 0.2
    if format == "onnx":
        import onnx

        graph = onnx.load(tmp_path / "out" / "model.onnx").graph
        nodes = graph.node
        weights = [
            onnx.numpy_helper.to_array(each) for each in graph.initializer if each.data_type == onnx.TensorProto.INT8
        ]
        rounded = [node.name for node in nodes if node.op_type == "MatMulInteger"]
        products = [node.name for node in nodes if node.op_type in ("MatMul", "Gemm")]
    else:
        import openvino

        operations = openvino.Core().read_model(tmp_path / "out" / "model.xml").get_ops()
        constants = [each for each in operations if each.get_type_name() == "Constant"]
        weights = [each.data for each in constants if each.get_element_type() == openvino.Type.i8]
        rounded = [each.get_friendly_name() for each in operations if each.get_type_name() == "FakeQuantize"]
        products = [each.get_friendly_name() for each in operations if each.get_type_name() == "MatMul"]
    assert rounded
    # Of 7 bits where every processor is to add them up right.
    assert (min(np.abs(each.astype(int)).max() for each in weights if each.ndim == 2) <= 64) == (format == "onnx")
    assert not any(name.startswith("span_head.") for name in rounded)
    assert any(name.startswith("span_head.") for name in products)


def test_a_loss_of_f1_is_an_error_that_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = make_pipeline("efficient")
    worse = comparison.Comparison(10, 20, 3, 0.5, original_f1=0.8, exported_f1=0.79)
    monkeypatch.setattr(exporting, "compare", lambda *arguments: worse)
    monkeypatch.setattr(exporting, "export_graph", lambda *arguments: None)
    monkeypatch.setattr(exporting, "quantize_onnx", lambda *arguments: None)
    monkeypatch.setattr(exporting, "Recognizer", lambda folder: None)
    with pytest.raises(ExportError, match=r"loses 1\.00 points of F1, more than 0\.5: .* Take the format openvino"):
        export_model(pipe, tmp_path / "out", quantize="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tensorrt"}, "`format` must be one of onnx, openvino, got tensorrt"),
        ({"dtype": "float16"}, "`dtype` must be one of float32, bfloat16, got float16"),
        ({"dtype": "bfloat16"}, "does not compute in bfloat16 on a CPU; take the format openvino"),
        ({"quantize": "int4"}, "`quantize` must be int8"),
        ({"format": "openvino", "quantize": "int8"}, "needs examples to calibrate by"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(make_pipeline(), tmp_path / "out", **options)


def damage(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change_file(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return change_file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "export.json").unlink(), r"is no exported model: it has no export\.json"),
        (damage("export.json", lambda content: content[:50]), r"export\.json is damaged"),
        (damage("export.json", lambda content: content.replace(b'"onnx"', b'"other"')), "'other' is none of onnx"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
        (lambda folder: (folder / "model.onnx.data").unlink(), r"has no complete model\.onnx\.data"),
        (damage("model.onnx", lambda content: b""), r"has no complete model\.onnx;"),
        (
            damage("model.onnx", lambda content: content[:999]),
            "cannot load the model in .* made for a later",
        ),
        (damage("model.onnx.data", lambda content: content[:999]), "cannot load the model in"),
    ],
)
def test_a_damaged_folder_is_an_error_of_one_line_with_the_remedy(
    change: Callable[[Path], None], message: str, exported: Exported, tmp_path: Path
) -> None:
    for path in exported[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    change(tmp_path)
    with pytest.raises(ExportError, match=message) as error:
        Recognizer.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_a_name_that_is_neither_folder_nor_repository() -> None:
    with pytest.raises(ExportError, match="no-such-folder is no folder, and no id of a Hub repository"):
        Recognizer.from_pretrained("no-such-folder")


def test_the_options_of_a_call_are_checked(exported: Exported) -> None:
    recognize = Recognizer(exported[1])
    with pytest.raises(ValueError, match=r"A threshold is a probability in \(0, 1\), got 2"):
        recognize("ab", threshold=2)
    with pytest.raises(ValueError, match="`overlap` must be one of"):
        recognize("ab", overlap="some")
    with pytest.raises(TypeError, match="takes text"):
        recognize([1])
    with pytest.warns(UserWarning, match="More than 1 spans of one input"):
        recognize("abc abc", threshold=0.001, max_spans=1)
    assert recognize("") == [] == recognize([])


@pytest.mark.parametrize("trained", ["full"], indirect=True)
def test_the_command(trained: Path, toy_data: Path, tmp_path: Path, run: Run) -> None:
    options = ["--model", trained, "--calibrate", toy_data / "dev.jsonl"]
    code, _, error = run("export", *options, "--output", tmp_path / "out")
    assert not code, error
    assert "Texts compared: 40; " in error
    assert "found by one model only: 0;" in error
    assert "F1 " in error
    assert Recognizer(tmp_path / "out")("xz y")[0]["word"] == "xz"
    # What writes predictions of a checkpoint does so of an exported model.
    for command in (["predict", "xz y", "y xz"], ["evaluate", "--data", toy_data / "dev.jsonl"]):
        (name, *more) = command
        outputs = [run(name, "--model", model, *more) for model in (trained, tmp_path / "out")]
        assert outputs[0][:2] == outputs[1][:2]
        assert not outputs[0][0]
    code, _, error = run("tune-thresholds", "--model", tmp_path / "out", "--data", toy_data / "dev.jsonl")
    assert code == 1
    assert "holds an exported model" in error
    code, _, error = run("export", *options, "--output", tmp_path / "out")
    assert code == 1
    assert "exists and is not an empty folder" in error
    code, _, error = run("export", *options, "--output", tmp_path / "other", "--dtype", "bfloat16")
    assert code == 1
    assert "take the format openvino" in error


def test_a_package_that_is_missing_is_named_with_its_remedy(
    trained: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(exporting, "export_graph", lambda *arguments: None)
    code, _, error = run("export", "--model", trained, "--output", tmp_path / "out", "--format", "openvino")
    assert code == 1
    assert "export needs openvino: pip install 'hf-globalpointer[openvino]'" in error
    assert not (tmp_path / "out").exists()
