"""Pushing to and loading from a Hub over HTTP, with the real client of the Hub and `hub_server` in the Hub's place."""

import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, constants
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedTokenizerFast, pipeline
from transformers.utils.hub import hf_api

from conftest import MODELS, Exported, make_model
from hf_globalpointer import (
    BertForEfficientGlobalPointer,
    ExportError,
    GlobalPointerNerPipeline,
    Recognizer,
    load_exported,
)
from hub_server import Fault, HubServer


REPO = "me/ner"
TASK = "global-pointer-ner"
TEXT = "ada met bob in ely"
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub, and a client that knows no other, has its cache in `tmp_path` and does not wait before it tries again."""
    with HubServer() as server:
        # An instance that Transformers keeps; new ones take the endpoint from the constants.
        monkeypatch.setattr(hf_api(), "endpoint", server.url)
        # What the client reads from the environment when it is imported.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("DISABLE_SAFETENSORS_CONVERSION", raising=False)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        elsewhere: list[object] = []
        look_up = socket.getaddrinfo

        def look_up_loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
            if host != "127.0.0.1":
                elsewhere.append(host)
                raise OSError(f"{host} is not the loopback interface")
            return look_up(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)
        yield server
        assert elsewhere == []


@pytest.fixture
def model() -> torch.nn.Module:
    return make_model("efficient")


@pytest.fixture
def other_model() -> torch.nn.Module:
    """A model with other weights."""
    return make_model("efficient", initializer_range=0.2)


def load(revision: str = "main", **options: Any) -> torch.nn.Module:
    return AutoModelForTokenClassification.from_pretrained(REPO, revision=revision, **options)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    weights = one.state_dict()
    return weights.keys() == other.state_dict().keys() and all(
        torch.equal(weights[name], weight) for name, weight in other.state_dict().items()
    )


def cached_files() -> set[str]:
    """The names of the files that a later load would take from the cache."""
    return {path.name for path in Path(constants.HF_HUB_CACHE).glob("models--me--ner/snapshots/*/*")}


def asked_for(hub: HubServer, name: str) -> bool:
    """Whether any request had this name in its path."""
    return any(name in request.path for request in hub.requests)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("whole", [True, False], ids=["pipeline", "model and tokenizer"])
def test_what_is_pushed_loads_back_without_trust(
    kind: str, whole: bool, hub: HubServer, char_tokenizer: PreTrainedTokenizerFast
) -> None:
    model = make_model(kind)
    local = pipeline(TASK, model=model, tokenizer=char_tokenizer)
    if whole:
        local.push_to_hub(REPO)
    else:
        model.push_to_hub(REPO)
        char_tokenizer.push_to_hub(REPO)
    assert {"README.md", "config.json", WEIGHTS, "tokenizer.json"} <= hub.files(REPO).keys()
    assert {Path(name).suffix for name in hub.files(REPO)} == {".md", ".json", ".safetensors"}

    loaded = load()
    assert type(loaded) is type(model)
    assert same_weights(loaded, model)
    assert AutoTokenizer.from_pretrained(REPO)(TEXT) == char_tokenizer(TEXT)
    remote = pipeline(TASK, model=REPO)
    assert type(remote) is GlobalPointerNerPipeline
    assert remote(TEXT) == local(TEXT) != []


def test_a_branch_a_tag_and_a_sha_load_their_own_weights(
    hub: HubServer, model: torch.nn.Module, other_model: torch.nn.Module
) -> None:
    api = HfApi()
    model.push_to_hub(REPO)
    api.create_tag(REPO, tag="v1")
    first = api.model_info(REPO).sha
    other_model.push_to_hub(REPO)
    trial = make_model("efficient", initializer_range=0.1)
    trial.push_to_hub(REPO, revision="trial/1")

    assert same_weights(load(), other_model)
    assert same_weights(load("v1"), model)
    assert same_weights(load(first), model)
    assert same_weights(load("trial/1"), trial)
    refs = api.list_repo_refs(REPO)
    assert {ref.name for ref in refs.branches} == {"main", "trial/1"}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": first}
    assert not same_weights(model, other_model)


def test_an_unknown_revision_and_an_unknown_repository_are_named(hub: HubServer, model: torch.nn.Module) -> None:
    with pytest.raises(OSError, match=f"{REPO} is not a local folder and is not a valid model identifier"):
        load()
    model.push_to_hub(REPO)
    with pytest.raises(OSError, match="v9 is not a valid git identifier"):
        load("v9")


def test_a_new_process_that_is_offline_loads_from_the_cache(
    hub: HubServer, model: torch.nn.Module, char_tokenizer: PreTrainedTokenizerFast
) -> None:
    pipeline(TASK, model=model, tokenizer=char_tokenizer).push_to_hub(REPO)
    entities = pipeline(TASK, model=REPO)(TEXT)
    hub.stop()
    code = (
        "import json, hf_globalpointer\n"
        "from transformers import pipeline\n"
        f"print(json.dumps(pipeline({TASK!r}, model={REPO!r})({TEXT!r})))\n"
    )
    folder = Path(constants.HF_HUB_CACHE)
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder.parent), "HF_HUB_CACHE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    # Another process may round the last bit of a product in another way.
    assert json.loads(done.stdout) == [pytest.approx(entity, abs=1e-6) for entity in entities] != []


def test_offline_without_a_cache_is_an_error_that_says_so(
    hub: HubServer, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(REPO)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="couldn't find them in the cached files"):
        load()
    assert hub.requests == []


def test_the_cache_serves_while_the_hub_is_down(hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO)
    load()
    hub.stop()
    assert same_weights(load(), model)


def test_shards_load_back_as_one_model(hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO, max_shard_size="8KB")
    shards = [name for name in hub.files(REPO) if name.endswith(".safetensors")]
    assert len(shards) > 2
    assert WEIGHTS not in shards
    index = json.loads(hub.files(REPO)[f"{WEIGHTS}.index.json"])
    assert sorted(set(index["weight_map"].values())) == sorted(shards)
    assert same_weights(load(), model)


def test_a_missing_shard_is_named(hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO, max_shard_size="8KB")
    shard = min(name for name in hub.files(REPO) if name.endswith(".safetensors"))
    HfApi().delete_file(shard, REPO)
    with pytest.raises(OSError, match=shard):
        load()


def test_missing_weights_are_named(hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO)
    HfApi().delete_file(WEIGHTS, REPO)
    with pytest.raises(OSError, match=f"{REPO} .*{WEIGHTS}"):
        load()
    # Transformers would ask a service elsewhere to convert other weights, and send it the token.
    assert not asked_for(hub, "/commits/")


def test_options_of_loading(hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO)
    loaded = load(dtype=torch.bfloat16, device_map="cpu", attn_implementation="eager")
    assert loaded.dtype == torch.bfloat16
    assert loaded.device == torch.device("cpu")
    assert loaded.config._attn_implementation == loaded.bert.config._attn_implementation == "eager"
    assert load().config._attn_implementation != "eager"
    assert same_weights(loaded, model.to(torch.bfloat16))


@pytest.mark.parametrize("fault", ["hang up", "unavailable"])
@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("PUT", "/lfs/", f"Error while uploading '{WEIGHTS}'"),
        ("POST", "/commit/", "503 Service Unavailable|disconnected|reset by peer|Broken pipe"),
    ],
    ids=["weights", "commit"],
)
def test_a_push_that_fails_changes_nothing_and_can_be_repeated(
    fault: Fault,
    method: str,
    path: str,
    error: str,
    hub: HubServer,
    model: torch.nn.Module,
    other_model: torch.nn.Module,
) -> None:
    model.push_to_hub(REPO)
    before = hub.files(REPO)
    failure = hub.fail(method, path, fault)
    with pytest.raises(Exception, match=error):
        other_model.push_to_hub(REPO)
    assert failure.count > 0
    assert hub.files(REPO) == before
    assert same_weights(load(), model)

    hub.heal()
    other_model.push_to_hub(REPO)
    assert same_weights(load(), other_model)


def test_a_push_that_fails_at_one_of_its_shards_changes_nothing(
    hub: HubServer, model: torch.nn.Module, other_model: torch.nn.Module, tmp_path: Path
) -> None:
    model.push_to_hub(REPO)
    before = hub.files(REPO)
    hub.requests.clear()
    other_model.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    shard = max((tmp_path / "shards").glob("*.safetensors"))
    failure = hub.fail("PUT", hashlib.sha256(shard.read_bytes()).hexdigest(), "hang up")
    with pytest.raises(RuntimeError, match=f"Error while uploading '{shard.name}'"):
        other_model.push_to_hub(REPO, max_shard_size="8KB")
    assert failure.count > 0
    assert "PUT" in {request.method for request in hub.requests}, "the other shards did not arrive"
    assert hub.files(REPO) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/preupload/"), ("POST", "/objects/batch"), ("PUT", "/lfs/"), ("POST", "/lfs/verify")],
)
def test_a_push_gets_over_a_hub_that_is_unavailable_once(
    method: str, path: str, hub: HubServer, model: torch.nn.Module
) -> None:
    failure = hub.fail(method, path, "unavailable", times=1)
    model.push_to_hub(REPO)
    assert failure.count == 1
    assert same_weights(load(), model)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_loading_gets_over_a_hub_that_is_unavailable_once(name: str, hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO)
    failure = hub.fail("HEAD", f"/{name}$", "unavailable", times=1)
    assert same_weights(load(), model)
    assert failure.count == 1


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_download_that_is_refused_is_an_error_and_can_be_repeated(
    name: str, hub: HubServer, model: torch.nn.Module
) -> None:
    model.push_to_hub(REPO)
    hub.fail("GET", f"/{name}$", "unavailable")
    with pytest.raises(OSError, match=f"503 Service Unavailable.*{name}"):
        load()
    hub.heal()
    assert same_weights(load(), model)


def test_a_download_that_is_cut_is_resumed(
    hub: HubServer, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    model.push_to_hub(REPO)
    hub.fail("GET", f"/{WEIGHTS}$", "cut", times=2)
    assert same_weights(load(), model)
    ranges = [request.header.get("Range") for request in hub.requests if request.method == "GET"]
    size = len(hub.files(REPO)[WEIGHTS])
    resumed = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges if text]
    assert 0 < resumed[0] <= size / 2 < resumed[1] < size


@pytest.mark.parametrize(
    ("fault", "error"),
    [("cut", f"Can't load .* '{REPO}'|peer closed"), ("short", "Consistency check failed")],
    ids=["cut", "short"],
)
@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_download_that_stays_incomplete_is_an_error_and_not_kept(
    fault: Fault, error: str, name: str, hub: HubServer, model: torch.nn.Module
) -> None:
    model.push_to_hub(REPO)
    hub.fail("GET", f"/{name}$", fault)
    with pytest.raises(Exception, match=error):
        load()
    assert name not in cached_files()
    hub.heal()
    assert same_weights(load(), model)


class Bomb:
    """What creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.trace,)


LOADERS: dict[str, Callable[[], object]] = {
    "model class": lambda: BertForEfficientGlobalPointer.from_pretrained(REPO),
    "safetensors": lambda: BertForEfficientGlobalPointer.from_pretrained(REPO, use_safetensors=True),
    "auto class": load,
    "pipeline": lambda: pipeline(TASK, model=REPO),
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("harmless", [True, False], ids=["weights", "bomb"])
def test_a_pickle_is_not_even_asked_for(
    loader: Callable[[], object],
    harmless: bool,
    hub: HubServer,
    model: torch.nn.Module,
    char_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    trace, file = tmp_path / "trace", tmp_path / "pytorch_model.bin"
    if harmless:
        torch.save(model.state_dict(), file)
    else:
        file.write_bytes(pickle.dumps(Bomb(trace)))
        pickle.loads(file.read_bytes())
        assert trace.exists()
        trace.unlink()
    pipeline(TASK, model=model, tokenizer=char_tokenizer).push_to_hub(REPO)
    HfApi().delete_file(WEIGHTS, REPO)
    HfApi().upload_file(path_or_fileobj=file, path_in_repo=file.name, repo_id=REPO)
    assert {file.name} == {name for name in hub.files(REPO) if not name.endswith((".json", ".md"))}
    hub.requests.clear()
    with pytest.raises((OSError, ValueError), match=f"{REPO} .*{WEIGHTS}"):
        loader()
    assert not asked_for(hub, file.name)
    assert not trace.exists()


def test_a_pickle_is_not_taken_for_weights_that_cannot_be_had(hub: HubServer, model: torch.nn.Module) -> None:
    model.push_to_hub(REPO)
    HfApi().upload_file(path_or_fileobj=pickle.dumps({}), path_in_repo="pytorch_model.bin", repo_id=REPO)
    hub.requests.clear()
    hub.fail("HEAD", f"/{WEIGHTS}", "unavailable")
    with pytest.raises(OSError, match=WEIGHTS):
        load()
    assert not asked_for(hub, "pytorch_model.bin")


def test_an_index_that_names_a_pickle_is_refused(hub: HubServer, model: torch.nn.Module, tmp_path: Path) -> None:
    model.push_to_hub(REPO, max_shard_size="8KB")
    index = json.loads(hub.files(REPO)[f"{WEIGHTS}.index.json"])
    index["weight_map"] = dict.fromkeys(index["weight_map"], "shard.bin")
    trace = tmp_path / "trace"
    files = {f"{WEIGHTS}.index.json": json.dumps(index).encode(), "shard.bin": pickle.dumps(Bomb(trace))}
    for name, content in files.items():
        HfApi().upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=REPO)
    hub.requests.clear()
    with pytest.raises(ValueError, match=r"shard\.bin"):
        load()
    assert not asked_for(hub, "shard.bin")
    assert not trace.exists()


def test_an_exported_model_comes_from_the_hub_too(hub: HubServer, exported: Exported) -> None:
    pipe, folder = exported
    HfApi().create_repo(REPO)
    HfApi().upload_folder(repo_id=REPO, folder_path=folder)
    HfApi().create_tag(REPO, tag="v1")
    HfApi().delete_file("export.json", REPO)
    expected = pipe(TEXT)
    assert expected
    exported_pipe = pipeline(TASK, model=load_exported(REPO, revision="v1"), tokenizer=REPO)
    for recognize in (Recognizer.from_pretrained(REPO, revision="v1"), exported_pipe):
        assert [(e["start"], e["end"], e["entity_group"]) for e in recognize(TEXT)] == [
            (e["start"], e["end"], e["entity_group"]) for e in expected
        ]
    with pytest.raises(ExportError, match=r"is no exported model: it has no export\.json"):
        load_exported(REPO)
