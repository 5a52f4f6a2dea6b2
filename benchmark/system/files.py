"""Atomic writing of files, locks of folders, and hashes of files."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...errors import AmsbenchError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors by which numpy and zipfile refuse a damaged archive."""
UNFINISHED = ".unfinished"
"""Suffix of temporary files."""
LOCK = ".lock"
"""Name of the file by which processes lock a folder."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file in full or not at all: ``write`` fills a temporary file, which is then moved to ``path``.

    The temporary file is hidden and ends in ``UNFINISHED`` whatever the suffix of ``path`` is: a writer that chooses
    its format by the suffix must be told the format. A process that is killed leaves it behind, and the next one that
    writes ``path`` removes it. Where ``path`` is a link, the file that it leads to is written.

    Raises AmsbenchError if the folder cannot be written, the disk is full, or something is there that is no file, such
    as /dev/null; no partial file is left. ``write`` raises OSError when the disk is full: a library with errors of its
    own has to make bytes, which ``write_bytes`` writes.
    """
    with writing(path):
        path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            raise AmsbenchError(
                f"cannot write {path}, which is a folder or a device; give the name of a file"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        with _temporary_file(path) as temporary:
            write(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Context in which an OSError becomes an AmsbenchError that names ``path`` as the file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise AmsbenchError(
            f"cannot write {path}: {error.strerror or error}; choose a folder with room that you may write to"
        ) from error


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, locked as long as this process lives and removed at the end if it is still there."""
    while True:
        # neither visible nor with the suffix of the file, so that no reader of the folder takes it for one
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
        try:
            # not there any more if another process took it for a left-over before it was locked
            if _locked(handle) and os.path.exists(name):
                yield Path(name)
                return
        finally:
            Path(name).unlink(missing_ok=True)
            os.close(handle)


def _remove_left_over(path: Path) -> None:
    """Remove temporary files of ``path`` whose processes have ended."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{UNFINISHED}"):
        try:
            handle = os.open(left, os.O_RDWR)
        except OSError:  # removed meanwhile, or another user's
            continue
        try:
            if fcntl is not None and _locked(handle):
                left.unlink(missing_ok=True)
        finally:
            os.close(handle)


def _locked(handle: int) -> bool:
    """Lock an open file for this process; whether that was possible. True without locks of files (Windows)."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically in UTF-8."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def visible_files(folder: Path, suffix: str) -> list[Path]:
    """The files with a suffix in a folder and all folders below it, by path, without hidden ones.

    Others may write and delete in the folder meanwhile.
    """
    paths = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in names if name.endswith(suffix) and not name.startswith(".")]
    return sorted(paths)


def check_writable(folder: Path) -> None:
    """Create ``folder`` if it does not exist; AmsbenchError if that fails or the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AmsbenchError(
            f"cannot write to the folder {folder}: {error.strerror or error}; choose another output folder"
        ) from error


def check_output_file(path: Path) -> None:
    """Create the folder of a file to write; AmsbenchError if that cannot be done, or if ``path`` is a folder itself."""
    if path.is_dir():
        raise AmsbenchError(f"cannot write {path}: it is a folder; give the name of a file")
    check_writable(path.parent)


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Context in which this process alone works in ``folder``; AmsbenchError if another process holds the lock.

    The operating system releases the lock when the process ends, however it ends. Systems without such locks (Windows)
    check nothing.
    """
    with ExitStack() as stack:
        with writing(folder / LOCK):
            file = stack.enter_context(open(folder / LOCK, "w"))
        if not _locked(file.fileno()):
            raise AmsbenchError(
                f"another process is at work in {folder}; wait until it ends, or choose another output folder"
            )
        yield


@dataclass(frozen=True)
class FolderUse:
    """One of the uses of a folder that several processes work in."""

    folder: Path
    lock: IO[str] | None

    def remove_if_unused(self) -> None:
        """Remove the folder with all that it holds, unless another process is using it."""
        if self.lock is not None and not _locked(self.lock.fileno()):
            return
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def shared_folder(folder: Path) -> Iterator[FolderUse]:
    """Context in which this process uses ``folder``, perhaps with others; the folder is made if it does not exist.

    Systems without locks of files (Windows) take every process for the only one.
    """
    check_writable(folder)
    with _shared_lock(folder) as lock:
        yield FolderUse(folder, lock)


@contextmanager
def _shared_lock(folder: Path) -> Iterator[IO[str] | None]:
    if fcntl is None:
        yield None
        return
    while True:
        with writing(folder / LOCK):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file = open(folder / LOCK, "w")  # noqa: SIM115
            except FileNotFoundError:  # the folder was removed meanwhile
                continue
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)  # waits while another process removes the folder
            try:
                current = os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK))
            except FileNotFoundError:
                current = False
            if current:
                yield file
                return


def reason_of(error: Exception) -> str:
    """The first line of an error's message, at most 200 characters, or else the name of its class."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(":") if lines else type(error).__name__


def parsed_json(text: str) -> Any:
    """The data in a JSON text; ValueError where it is none, or is nested more deeply than Python can read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its lists and tables are nested too deeply") from error


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
