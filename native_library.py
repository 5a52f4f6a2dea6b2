"""Compiled C libraries of the package, opened with ctypes where a compiler was there at installation."""

from __future__ import annotations

import ctypes
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def open_library(folder: Path, name: str, abi_function: str, abi: int) -> tuple[ctypes.CDLL | None, str]:
    """The library ``name`` in ``folder`` and its file name, or None and why there is none.

    abi_function, abi: its function that counts changes of its interface, and the count that the caller knows, so
        that a library of an older build is never called
    """
    for suffix in EXTENSION_SUFFIXES:
        path = folder / f"{name}{suffix}"
        if not path.exists():
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError as problem:
            return None, f"{path.name} cannot be opened: {problem}"
        found = getattr(library, abi_function)()
        if found != abi:
            return None, f"{path.name} is of another version ({found}, not {abi}); install amsbench again"
        return library, path.name
    return None, "not built: no C compiler was found at installation"
