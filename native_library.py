"""Compiled C libraries of the package, opened with ctypes.

They are built at installation if a C compiler is present (setup.py); each has a counterpart in Python that takes its
place otherwise. Two environment variables are read at every call:

AMSBENCH_NATIVE: ``0`` switches all of them off
AMSBENCH_NATIVE_LEVEL: name of the instruction set to use; the default is the best of the processor
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from .errors import AmsbenchError

SWITCHED_OFF = "switched off by AMSBENCH_NATIVE=0"


@dataclass(frozen=True, kw_only=True)
class NativeLibrary:
    """A C library of the package, opened at its first use.

    folder, name: the file is ``folder / name`` with a suffix of extension modules
    prefix: its functions ``<prefix>_abi`` and ``<prefix>_level`` return the version of its interface and the number
        of the best instruction set of the processor
    abi: version of the interface that the caller needs; a library with another version is not used
    levels: names of its instruction sets (native_levels.h), from the first to the best
    highest_of: names that AMSBENCH_NATIVE_LEVEL may have beside the levels, and the best level that each allows
    declare: sets the argument types of the functions
    """

    folder: Path
    name: str
    prefix: str
    abi: int
    levels: tuple[str, ...]
    highest_of: Mapping[str, str] = field(default_factory=dict)
    declare: Callable[[ctypes.CDLL], None]

    @cached_property
    def _opened(self) -> tuple[ctypes.CDLL | None, str]:
        """The library and its file name, or None and the reason why there is none."""
        for suffix in EXTENSION_SUFFIXES:
            path = self.folder / f"{self.name}{suffix}"
            if not path.exists():
                continue
            try:
                library = ctypes.CDLL(str(path))
            except OSError as problem:
                return None, f"{path.name} cannot be opened: {problem}"
            abi = getattr(library, f"{self.prefix}_abi")()
            if abi != self.abi:
                return (
                    None,
                    f"{path.name} is of another version ({abi}, not {self.abi}); install amsbench again",
                )
            self.declare(library)
            return library, path.name
        return None, "not built: no C compiler was found at installation"

    @property
    def built(self) -> bool:
        """Whether the library is there and can be opened."""
        return self._opened[0] is not None

    @property
    def reason(self) -> str:
        """File name of the library, or the reason why it is not used."""
        if self.built and os.environ.get("AMSBENCH_NATIVE") == "0":
            return SWITCHED_OFF
        return self._opened[1]

    @property
    def active(self) -> bool:
        """Whether the library is built and not switched off."""
        return self.built and os.environ.get("AMSBENCH_NATIVE") != "0"

    @property
    def functions(self) -> ctypes.CDLL:
        """The opened library; RuntimeError where it is not built."""
        library, reason = self._opened
        if library is None:
            raise RuntimeError(reason)
        return library

    @cached_property
    def available_levels(self) -> tuple[str, ...]:
        """Names of the instruction sets that this processor has; none where the library is not built."""
        return self.levels[: getattr(self.functions, f"{self.prefix}_level")() + 1] if self.built else ()

    def level(self) -> int:
        """Number of the instruction set to use, an index into ``levels``.

        AmsbenchError for a value of AMSBENCH_NATIVE_LEVEL that this processor does not have.
        """
        available, requested = self.available_levels, os.environ.get("AMSBENCH_NATIVE_LEVEL", "")
        if not requested:
            return len(available) - 1
        if requested in self.highest_of:
            return min(len(available) - 1, self.levels.index(self.highest_of[requested]))
        if requested not in available:
            raise AmsbenchError(
                f"AMSBENCH_NATIVE_LEVEL is {requested!r}, but this processor has {', '.join(available)}; "
                "choose one of them, float32, or unset it"
            )
        return available.index(requested)


def worker_threads(purpose: str, count: int) -> ThreadPoolExecutor:
    """A pool of ``count`` threads, the same at every call with these arguments; ``purpose`` is in their names."""
    return _worker_threads(os.getpid(), purpose, count)


@lru_cache(maxsize=2)
def _worker_threads(process: int, purpose: str, count: int) -> ThreadPoolExecutor:
    # one pool per process, because threads do not survive a fork
    return ThreadPoolExecutor(count, thread_name_prefix=f"amsbench-{purpose}")
