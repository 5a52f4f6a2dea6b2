"""An output folder that is removed while a command works ends it with one sentence, or changes nothing."""

import shutil
from contextlib import contextmanager

import pytest

from amsbench.benchmark.system import files

from .test_full_disk import COMMANDS, contents, inputs, made  # noqa: F401

LOSSES = ("train", "run", "evaluate", "table", "data build", "design", "submit")
"""Commands that write several files, or go on where another one was stopped."""


@contextmanager
def removed_after(monkeypatch, number, folder):
    """The folder is removed after one of the writes.

    number: which of the writes, from 1, or 0 for none; the value of the context has the number of writes so far
    """
    temporary_file = files._temporary_file
    writes = [0]

    @contextmanager
    def removing(path):
        with temporary_file(path) as name:
            yield name
        writes[0] += 1
        if writes[0] == number:
            shutil.rmtree(folder)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_temporary_file", removing)
        yield writes


@pytest.mark.parametrize("name", LOSSES)
def test_a_folder_that_is_removed_after_a_write(name, amsbench, inputs, tmp_path, monkeypatch):  # noqa: F811
    arguments = COMMANDS[name].format(out="out").split()
    out = tmp_path / "out"
    with removed_after(monkeypatch, 0, out) as writes:
        code, _, messages = amsbench(*arguments)
    assert code == 0, messages
    assert writes[0], "the command writes nothing"
    expected = contents(out)
    for number in sorted({1, 1 + writes[0] // 2, writes[0]}):
        shutil.rmtree(out)
        with removed_after(monkeypatch, number, out):
            code, _, messages = amsbench(*arguments)
        assert code in (0, 2), messages
        assert "Traceback" not in messages
        if code == 2:
            code, _, messages = amsbench(*arguments)
            if "delete the folder to train again" in messages:  # a state without the checkpoints beside it
                shutil.rmtree(out)
                code, _, messages = amsbench(*arguments)
            assert code == 0, messages
            assert contents(out) == expected
        out.mkdir(exist_ok=True)
