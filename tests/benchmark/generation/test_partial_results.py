"""Finished parts of structures: exact, complete or absent, and shared by processes."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms

from amsbench.benchmark.generation.partial_results import (
    FinishedPart,
    PartialResults,
    kept_until_done,
    remove_unused,
)
from amsbench.errors import AmsbenchError


def some_frames():
    random = np.random.default_rng(3)
    return [
        Atoms(numbers, random.normal(size=(len(numbers), 3)), cell=random.normal(size=(3, 3)), pbc=True)
        for numbers in ([14, 8, 8], [], [3, 15, 8, 8, 8])
    ]


def test_finished_parts_come_back_to_the_bit(tmp_path):
    frames = some_frames()
    frames[0].positions[1] = np.nan, np.inf, 1 / 3
    stored = PartialResults(tmp_path / "parts")
    assert stored.read("a") is None
    assert stored.names() == []
    stored.write("a", FinishedPart(frames, 1 / 3, 2 / 3))
    again, *seconds = stored.read("a")
    assert seconds == [1 / 3, 2 / 3]
    for one, other in zip(frames, again, strict=True):
        assert one.positions.tobytes() == other.positions.tobytes()
        assert one.cell.array.tobytes() == other.cell.array.tobytes()
        assert one.numbers.tolist() == other.numbers.tolist()
        assert other.pbc.all()


def test_a_part_that_is_cut_off_is_absent(tmp_path):
    stored = PartialResults(tmp_path)
    stored.write("a", FinishedPart(some_frames(), 1.0, 1.0))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert stored.read("a") is None


def test_the_first_environment_stays(tmp_path):
    stored = PartialResults(tmp_path / "parts")
    with pytest.raises(AmsbenchError, match=r"environment was removed or changed while .* run it again"):
        stored.environment()
    stored.record_environment("first")
    stored.record_environment("second")
    assert stored.environment() == "first"
    assert not stored.complete
    stored.record_complete()
    assert stored.complete
    assert stored.names() == []


def test_a_folder_goes_after_success_and_stays_after_an_error(tmp_path):
    for error in (KeyboardInterrupt, None):
        try:
            with kept_until_done(tmp_path / "parts") as stored:
                stored.write("a", FinishedPart(some_frames(), 1.0, 1.0))
                if error:
                    raise error
        except KeyboardInterrupt:
            assert PartialResults(tmp_path / "parts").names() == ["a"]
    assert list(tmp_path.iterdir()) == []
    with kept_until_done(tmp_path / "parts", remove=False) as stored:
        stored.write("a", FinishedPart(some_frames(), 1.0, 1.0))
    assert stored.names() == ["a"]


def test_nothing_is_left_of_what_stopped_before_its_first_part(tmp_path):
    try:
        with kept_until_done(tmp_path / "parts"):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert list(tmp_path.iterdir()) == []


OTHER = """
import sys
from pathlib import Path
from amsbench.benchmark.generation.partial_results import kept_until_done
with kept_until_done(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.readline()
"""


def test_a_folder_that_another_process_uses_is_not_removed(tmp_path):
    folder = tmp_path / "parts"
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "in\n"
        with kept_until_done(folder) as stored:
            stored.write("a", FinishedPart(some_frames(), 1.0, 1.0))
        remove_unused([folder, tmp_path / "none"])
        assert stored.names() == ["a"]
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.wait(60) == 0
    assert list(tmp_path.iterdir()) == []  # the last user has removed it


def test_an_unused_folder_is_removed(tmp_path):
    PartialResults(tmp_path / "parts").write("a", FinishedPart(some_frames(), 1.0, 1.0))
    remove_unused([tmp_path / "parts"])
    assert list(tmp_path.iterdir()) == []
