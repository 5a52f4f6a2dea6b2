"""The files behind a path of structures: a file, a folder, an archive, compressed or not, in any Unicode encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ...errors import AmsbenchError
from .files import reason_of

MOST_UNPACKED = 16 * 2**30
"""Largest size of unpacked files, bytes; a few kilobytes can unpack to more than a disk holds."""

_COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)
_SYSTEM_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini")
_DOCUMENTS = (".md", ".rst", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".html", ".py", ".sh", ".ipynb")
"""Suffixes of files that lie beside structures and are none."""
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class SourceFile:
    """A file with structures. name: for messages, such as ``a.zip/b/POSCAR``; path: where its text lies unpacked."""

    name: str
    path: Path


@contextmanager
def source_files(path: Path) -> Iterator[tuple[list[SourceFile], list[str]]]:
    """The files with structures behind a path in the order of their names, and the names of those left out.

    path: a file, a folder with folders, a .zip or .tar archive, each file compressed (.gz, .bz2, .xz) or not
    Files are unpacked, and rewritten as UTF-8 without a byte order mark, in a temporary folder that lives as long as
    the context. Hidden files and those of operating systems are not there; documents beside structures, such as
    README.md and pictures, are left out. Raises AmsbenchError for what cannot be unpacked or is not there.
    """
    with tempfile.TemporaryDirectory(prefix="amsbench-") as folder:
        files: list[SourceFile] = []
        left_out: list[str] = []
        for name, file, alone in _listed(path, Path(folder)):
            if not alone and _is_document(Path(name)):
                left_out.append(name)
                continue
            place = Path(folder) / str(len(files))
            place.mkdir()
            files.append(SourceFile(name, _plain_text(name, *_uncompressed(name, file, place), place)))
        if not files:
            raise AmsbenchError(f"{path} holds no files with structures; give one that does")
        yield files, left_out


def folder_files(folder: Path) -> list[Path]:
    """The visible files of a folder and its folders, links followed, in the order of their names."""
    files: list[Path] = []
    visited: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if Path(place).resolve() in visited:
            folders.clear()  # a link to a folder above
            continue
        visited.add(Path(place).resolve())
        folders[:] = [name for name in folders if _is_visible(PurePosixPath(name))]
        files += [Path(place) / name for name in names if _is_visible(PurePosixPath(name))]
    return sorted(files, key=lambda file: file.relative_to(folder).parts)


def _listed(path: Path, folder: Path) -> Iterator[tuple[str, Path, bool]]:
    """Name, place and whether it was named itself of each file behind a path; archives are unpacked into a folder."""
    if path.is_dir():
        files = folder_files(path)
        if not files:
            raise AmsbenchError(f"the folder {path} holds no files; give one with structures")
        for file in files:
            if not file.is_file():
                raise AmsbenchError(f"{file} is a link to no file; remove it or restore what it links to")
            _refuse_archive(file, str(file))
            yield str(file), file, False
    elif not path.is_file():
        raise AmsbenchError(
            f"no structures at {path}; give a file that ASE reads, such as .extxyz, or a folder"
        )
    elif _is_archive(path):
        unpacked = folder / "archive"
        unpacked.mkdir()
        _unpack(path, unpacked)
        files = folder_files(unpacked)
        if not files:
            raise AmsbenchError(f"the archive {path} holds no files; give one with structures")
        for file in files:
            name = f"{path}/{file.relative_to(unpacked).as_posix()}"
            _refuse_archive(file, name)
            yield name, file, False
    else:
        yield str(path), path, True


def _is_visible(name: PurePosixPath) -> bool:
    return not any(part.startswith(".") or part in _SYSTEM_NAMES for part in name.parts)


def _is_document(path: Path) -> bool:
    return path.suffix.lower() in _DOCUMENTS or path.stem.upper() in ("README", "LICENSE")


def _is_archive(path: Path) -> bool:
    """By its name, as zeros are a tar archive and arrays (.npz) a zip archive."""
    return path.name.lower().endswith((".zip", *_TAR_SUFFIXES))


def _refuse_archive(file: Path, name: str) -> None:
    if _is_archive(file):
        raise AmsbenchError(
            f"{name} is an archive within a folder or an archive; unpack it and give its folder"
        )


def _unpack(path: Path, folder: Path) -> None:
    """Unpack the visible files of an archive; AmsbenchError if it is damaged, encrypted, too large or ambiguous."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                items = [item for item in archive.infolist() if not item.is_dir()]
                if any(item.flag_bits & 1 for item in items):
                    raise AmsbenchError(f"{path} is encrypted; unpack it and give its folder")
                sizes = [(item.filename, item.file_size) for item in items]
                for name, target in _targets(sizes, path, folder):
                    with archive.open(name) as source:
                        _write(source, target)
        else:
            with tarfile.open(path) as tar:
                members = [item for item in tar.getmembers() if not item.isdir()]
                if any(not item.isfile() for item in members):
                    raise AmsbenchError(f"{path} holds links; unpack it and give its folder")
                for name, target in _targets([(item.name, item.size) for item in members], path, folder):
                    content = tar.extractfile(name)
                    assert content is not None  # a regular file
                    with content:
                        _write(content, target)
    except (*_UNREADABLE, NotImplementedError, KeyError, ValueError) as error:
        raise AmsbenchError(
            f"the archive {path} cannot be unpacked ({reason_of(error)}); make it again"
        ) from error


def _targets(sizes: Sequence[tuple[str, int]], path: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Names of the visible files of an archive, and where each is unpacked to; all checks come before the first."""
    places: dict[Path, str] = {}
    size = 0
    for name, length in sizes:
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".")]
        if ".." in parts:
            raise AmsbenchError(f"{path} holds a file outside of itself, {name}; make it again")
        if not _is_visible(PurePosixPath(*parts)):
            continue
        place = folder.joinpath(*parts)
        if place in places:
            raise AmsbenchError(f"{path} holds the file {name} twice; make it again")
        places[place] = name
        size += length
    _check_size(size, path)
    for place, name in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        yield name, place


def _write(source: IO[bytes], target: Path) -> None:
    with open(target, "wb") as copy:
        shutil.copyfileobj(source, copy)


def _uncompressed(name: str, file: Path, place: Path) -> tuple[str, Path]:
    """Name and path of a file, or of its unpacked copy in ``place`` if it is compressed."""
    opening = _COMPRESSED.get(file.suffix.lower())
    if opening is None:
        return file.name, file
    target = place / file.stem
    try:
        with opening(file) as source, open(target, "wb") as copy:
            while block := source.read(2**20):
                copy.write(block)
                _check_size(copy.tell(), file)
    except _UNREADABLE as error:
        raise AmsbenchError(f"{name} cannot be unpacked ({reason_of(error)}); make it again") from error
    return target.name, target


def _check_size(size: int, path: Path) -> None:
    if size > MOST_UNPACKED:
        raise AmsbenchError(f"{path} unpacks to more than {MOST_UNPACKED / 2**30:.0f} GB; unpack it yourself")


def _plain_text(name: str, file_name: str, file: Path, place: Path) -> Path:
    """The file, or a copy as UTF-8 where a byte order mark says that it is text of another encoding."""
    try:
        with open(file, "rb") as source:
            start = source.read(4)
            encoding = next((code for mark, code in _ENCODINGS if start.startswith(mark)), None)
        if encoding is None:
            return file
        target = place / f"text-{file_name}"
        target.mkdir()
        with open(file, encoding=encoding) as text, open(target / file_name, "w", encoding="utf-8") as copy:
            shutil.copyfileobj(text, copy)
    except (OSError, UnicodeError) as error:
        raise AmsbenchError(f"{name} cannot be read ({reason_of(error)}); copy it again") from error
    return target / file_name
