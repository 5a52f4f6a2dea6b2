"""Wheels to carry: pinned to the versions here, at most so large, replaced as a whole."""

import importlib.metadata
from pathlib import Path

import pytest

from amsbench.errors import AmsbenchError
from amsbench.speed.gpu import wheels


def downloading(size):
    def fetch(arguments):
        folder = Path(arguments[arguments.index("--dest") + 1])
        for item in arguments:
            if "==" in item:
                name, _, version = item.partition("==")
                (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(b"0" * size)
        fetch.arguments = arguments

    return fetch


def test_wheels_are_those_of_the_other_python_in_the_versions_of_this_one(tmp_path):
    (tmp_path / "old-1.0-py3-none-any.whl").touch()
    fetch = downloading(10)
    result = wheels.prepare_wheels(tmp_path, python="3.12", fetch=fetch)
    assert fetch.arguments[fetch.arguments.index("--python-version") + 1] == "3.12"
    assert f"ase=={importlib.metadata.version('ase')}" in fetch.arguments
    assert sorted(tmp_path.iterdir()) == sorted(result)
    assert len(result) == len(wheels.PACKAGES)


def test_wheels_that_are_too_large_leave_the_folder_as_it_was(tmp_path):
    (tmp_path / "old-1.0-py3-none-any.whl").touch()
    size = wheels.LARGEST * 2**20 // len(wheels.PACKAGES) + 1
    with pytest.raises(AmsbenchError, match="more than the 12 that are carried"):
        wheels.prepare_wheels(tmp_path, python="3.12", fetch=downloading(size))
    assert [path.name for path in tmp_path.iterdir()] == ["old-1.0-py3-none-any.whl"]


def test_a_failed_download_says_why():
    with pytest.raises(AmsbenchError, match="pip cannot download the wheels"):
        wheels.download(["--no-index", "no-such-package-at-all"])
