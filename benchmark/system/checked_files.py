"""Files of arrays and of JSON data that are checked before they are believed: their size and their sha256."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AmsbenchError
from .files import DAMAGED, parsed_json, reason_of, write_atomically, write_text

LARGEST_ARRAYS = 4 * 2**30
"""Most bytes of the arrays of a file; 10,000 structures of 256 atoms have 0.1 GB. Kilobytes can unpack to terabytes."""
SHA256 = "sha256"
"""Name of the hash in a file."""


def write_npz(path: Path, contents: Mapping[str, np.ndarray], *, compressed: bool = True) -> None:
    """Write an npz atomically."""
    save = np.savez_compressed if compressed else np.savez

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:  # a file object, since numpy adds a suffix to a name
            save(stream, allow_pickle=False, **contents)

    write_atomically(path, write)


def read_npz(
    path: Path, advice: str = "build or import it again", *, largest: int = LARGEST_ARRAYS
) -> dict[str, np.ndarray]:
    """All arrays of an npz without pickled objects; AmsbenchError if it is missing, too large, truncated or no npz.

    advice: what to do with such a file, for the message
    largest: most bytes of the arrays
    """
    if not path.exists():
        raise AmsbenchError(
            f"{path} is not there, perhaps because it was removed meanwhile; run the command again"
        )
    if not zipfile.is_zipfile(path):
        raise AmsbenchError(f"{path} is truncated or is not an amsbench file; {advice}")
    try:
        # opened here, because numpy leaves the file open if the archive is damaged
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            size = sum(member.file_size for member in stored.zip.infolist())
            if size > largest:
                raise AmsbenchError(
                    f"{path} unpacks to {size} bytes of arrays, more than {largest}; {advice}"
                )
            return {name: stored[name] for name in stored.files}
    except (*DAMAGED, MemoryError) as error:
        raise AmsbenchError(
            f"{path} is damaged or is not an amsbench file ({reason_of(error)}); {advice}"
        ) from error


def hash_of_arrays(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
    """Hex sha256 of a text and of the names, types, shapes and values of arrays, in the order of their names."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_checked_npz(path: Path, contents: Mapping[str, np.ndarray], *, compressed: bool = True) -> None:
    """Write an npz atomically, with a hash of its arrays and its name."""
    write_npz(
        path, {**contents, SHA256: np.array(hash_of_arrays(contents, path.name))}, compressed=compressed
    )


def read_checked_npz(path: Path, advice: str) -> dict[str, np.ndarray]:
    """The arrays that ``write_checked_npz`` wrote; AmsbenchError with ``advice`` if anything else is there."""
    arrays = read_npz(path, advice)
    if str(arrays.pop(SHA256, None)) != hash_of_arrays(arrays, path.name):
        raise AmsbenchError(f"{path} was changed or renamed: its hash does not match; {advice}")
    return arrays


def write_checked_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with a hash of its content and its name."""
    plain = json.loads(json.dumps(data))
    write_text(path, json.dumps({SHA256: _hash_of_json(path, plain), **plain}, indent=1) + "\n")


def read_checked_json(path: Path, advice: str) -> dict[str, Any]:
    """The JSON object that ``write_checked_json`` wrote; AmsbenchError with ``advice`` if anything else is there."""
    try:
        data = parsed_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AmsbenchError(f"{path} cannot be read ({reason_of(error)}); {advice}") from error
    if not isinstance(data, dict) or data.pop(SHA256, None) != _hash_of_json(path, data):
        raise AmsbenchError(f"{path} was changed or renamed: its hash does not match; {advice}")
    return data


def _hash_of_json(path: Path, data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([path.name, data], sort_keys=True).encode()).hexdigest()
