from pathlib import Path

import pytest

from hf_globalpointer.training.loading import loading


def test_names_of_what_cannot_be_a_checkpoint_are_told_before_loading(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, message in {
        tmp_path / "file": "it is a file; name the folder that holds it",
        tmp_path / "empty": "the folder holds no config.json; is it a checkpoint",
        tmp_path / "absent": "no such folder",
        "a/b/c": "no such folder",
    }.items():
        with pytest.raises(OSError, match=f"cannot load the model {name}: {message}"), loading("model", str(name)):
            pytest.fail("nothing is loaded")


def test_whatever_loading_raises_becomes_one_sentence() -> None:
    reason = "there is no folder of that name here, and from the Hub: too many lines"
    expected = rf"^cannot load the model org/name: {reason}$"
    with pytest.raises(OSError, match=expected) as raised, loading("model", "org/name"):
        raise RuntimeError("too many\n  lines")
    assert isinstance(raised.value.__cause__, RuntimeError)
    with loading("model", "org/name"):
        pass
