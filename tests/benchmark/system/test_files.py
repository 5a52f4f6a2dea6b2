"""Atomic writing of files, and structures written while others are generated."""

import errno
import os
import subprocess
import sys

import ase.io.extxyz
import pytest
from ase.build import bulk
from ase.io import read

from amsbench.benchmark.system.files import UNFINISHED, visible_files, write_atomically, write_text
from amsbench.benchmark.system.structure_files import frame_writer
from amsbench.errors import AmsbenchError

FRAMES = [bulk("Si", a=5.4 + 0.01 * k) for k in range(5)]


def fill(path, error=None, for_ever=False):
    with frame_writer(path) as put:
        put(FRAMES)
        if error:
            raise error
        while for_ever:
            put(FRAMES)


def test_structures_come_back(tmp_path):
    FRAMES[3].info["target_ring_size"] = 5.25
    with frame_writer(tmp_path / "a.extxyz") as put:
        put(FRAMES[:2])
        put([])
        put(FRAMES[2:])
        assert not (tmp_path / "a.extxyz").exists()
    found = read(tmp_path / "a.extxyz", ":")
    assert [len(frame) for frame in found] == [2] * 5
    for one, two in zip(found, FRAMES, strict=True):
        assert abs(one.cell.array - two.cell.array).max() < 1e-7
    assert found[3].info["target_ring_size"] == 5.25


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        fill(path, KeyboardInterrupt)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("for_ever", [True, False])
def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch, for_ever):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ase.io.extxyz, "write_extxyz", full)
    with pytest.raises(AmsbenchError, match=r"cannot write .*a\.extxyz: No space left"):
        fill(tmp_path / "a.extxyz", for_ever=for_ever)
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link", "."):
        with pytest.raises(AmsbenchError, match="which is a folder or a device; give the name of a file"):
            write_text(tmp_path / name, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_the_file_that_a_link_leads_to_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near.txt").symlink_to(tmp_path / "far" / "text.txt")
    for text in ("one", "two"):
        write_text(tmp_path / "near.txt", text)
        assert (tmp_path / "near.txt").is_symlink()
        assert (tmp_path / "far" / "text.txt").read_text() == text


@pytest.mark.parametrize("suffix", [".json", ".npz", ".extxyz", ".safetensors", ".parquet", ".pt", ".csv"])
def test_no_reader_takes_a_temporary_file_for_one_of_its_own(tmp_path, suffix):
    """While a file is written, and after a writer was killed, no listing of the folder has it."""

    def write(temporary):
        temporary.write_text("half")
        assert temporary.parent == tmp_path
        assert temporary.suffix == UNFINISHED
        assert visible_files(tmp_path, suffix) == visible_files(tmp_path, "") == []
        assert not list(tmp_path.glob(f"*{suffix}"))
        temporary.write_text("whole")

    write_atomically(tmp_path / f"a{suffix}", write)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
    assert visible_files(tmp_path, suffix) == [tmp_path / f"a{suffix}"]


def test_visible_files_of_all_folders_below_are_listed_by_path(tmp_path):
    for name in ("b/2.json", "a.json", "b/c/1.json", ".hidden/3.json", "b/.4.json", "b/5.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in visible_files(tmp_path, ".json")]
    assert names == ["a.json", "b/2.json", "b/c/1.json"]
    assert visible_files(tmp_path / "none", ".json") == []


def test_no_folder_can_be_made_of_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AmsbenchError, match="choose a folder"):
        write_atomically(tmp_path / "file" / "a.txt", lambda path: path.touch())


WRITER = """
import sys, time
from pathlib import Path
from amsbench.benchmark.system.files import write_atomically

def write(temporary):
    temporary.write_text("theirs")
    print("writing", flush=True)
    sys.stdin.readline()

write_atomically(Path("a.json"), write)
"""


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    path = tmp_path / "a.json"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "writing\n"
    write_text(path, "ours")
    assert len(list(tmp_path.glob(f".*{UNFINISHED}"))) == 2
    assert path.read_text() == "ours"
    writers[0].kill()
    writers[0].wait()
    write_text(path, "ours again")
    assert len(list(tmp_path.iterdir())) == 2  # the other process is at it still
    writers[1].communicate("\n")
    assert writers[1].returncode == 0
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]
    for writer in writers:
        writer.stdin.close()
        writer.stdout.close()
