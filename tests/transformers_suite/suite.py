"""The tests that transformers runs on each of its own models, in the installed version.

The wheel leaves them out, the source distribution carries them: pip fetches it once, and its folder `tests` is kept in
`.cache/`, which git ignores. There it is the package `tests`, as in the repository of transformers.
"""

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType


VERSION = version("transformers")
CACHE = Path(__file__).parents[2] / ".cache"


def fetch(cache: Path = CACHE) -> Path:
    """The folder that holds the package `tests`, fetched where it is not there yet.

    Raises:
        RuntimeError: If pip gets no source distribution of the installed version, or that holds no tests.
    """
    folder = cache / f"transformers-{VERSION}"
    if folder.is_dir():
        return folder
    cache.mkdir(exist_ok=True)
    # The folder gets its name when all is in it, so that no half of it is ever taken for the whole.
    with tempfile.TemporaryDirectory(dir=cache) as work:
        archive = _download(Path(work) / "download")
        with tarfile.open(archive) as source:
            tests = [member for member in source if member.name.split("/")[1:2] == ["tests"]]
            # Filters came with Python 3.11.4.
            options = {"filter": "data"} if sys.version_info >= (3, 11, 4) else {}
            source.extractall(work, members=tests, **options)
        unpacked = Path(work) / archive.name.removesuffix(".tar.gz")
        if not (unpacked / "tests" / "test_modeling_common.py").is_file():
            raise RuntimeError(f"{archive.name} holds no tests/test_modeling_common.py: nothing to run on the models.")
        (unpacked / "tests" / "__init__.py").touch()
        try:
            unpacked.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run was faster
                raise
    return folder


def _download(folder: Path) -> Path:
    """The source distribution of the installed transformers, downloaded into `folder`."""
    # Only transformers itself is taken as source: what pip needs to read its metadata comes built.
    arguments = ["--no-deps", "--no-binary", "transformers", "--dest", str(folder), f"transformers=={VERSION}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if result.returncode or not archives:
        raise RuntimeError(
            f"The test suite of transformers {VERSION} could not be downloaded, so the models cannot be tested with "
            f"it. It is downloaded once, by `{' '.join(command)}`, which needs the package index that pip is set up "
            "for. All other tests run without it: `pytest --ignore tests/transformers_suite`. "
            f"pip said:\n{result.stdout}{result.stderr}"
        )
    return archives[0]


def stand_in(name: str, **content: object) -> None:
    """Put a module in the place of one that the suite imports and the source distribution lacks."""
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(content)


sys.path.insert(0, str(fetch()))
# Exporters are not part of what is tested here, and none of our models generates text.
stand_in("tests.exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
stand_in("tests.generation.test_utils", GenerationTesterMixin=type("GenerationTesterMixin", (), {}))
# What `ConfigTester` gives to every configuration, none of it a default.
stand_in(
    "tests.utils.test_configuration_utils",
    config_common_kwargs={
        "architectures": ["SomeModel"],
        "chunk_size_feed_forward": 3,
        "dtype": "float16",
        "id2label": {0: "one", 1: "two", 2: "three"},
        "label2id": {"one": 0, "two": 1, "three": 2},
        "output_attentions": True,
        "output_hidden_states": True,
        "problem_type": "regression",
        "return_dict": False,
    },
)

from tests.test_configuration_common import ConfigTester  # noqa: E402
from tests.test_modeling_common import ModelTesterMixin, ids_tensor  # noqa: E402


__all__ = ["ConfigTester", "ModelTesterMixin", "fetch", "ids_tensor"]
