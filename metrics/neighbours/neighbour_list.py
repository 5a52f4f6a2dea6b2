"""Neighbour lists of batches of periodic structures, natively where a C compiler was at hand (neighbours.c).

The native search takes under a microsecond per atom for a few hundred atoms, vesin ten. Without the library
vesin gives the same edges. Two environment variables, read at every call:

AMSBENCH_NATIVE: ``0`` switches the library off
AMSBENCH_NATIVE_LEVEL: ``plain``, ``avx2`` or ``avx512`` instead of the best that the processor has; the levels
    that only the network's kernel has mean the best here
"""

from __future__ import annotations

import ctypes
import os
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ...errors import AmsbenchError
from ...native_library import NativeLibrary, worker_threads
from .packed import PackedStructures, SupportsPacking, each_structure
from .pairs import neighbour_pairs

ABI = 1
"""Counts changes of the functions below, so that a library of an older build is never called."""

SEARCH_LEVELS = ("plain", "avx2", "avx512")


def _declare(library: ctypes.CDLL) -> None:
    """Set the argument types of the functions of neighbours.c and distribution_counts.c."""
    integer, number, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
    batch = (integer, integer, pointer, pointer, pointer)
    library.amsbench_neighbours_find.argtypes = (*batch, number, pointer, pointer, pointer)
    library.amsbench_neighbours_fill.argtypes = (pointer, integer, pointer, pointer, pointer)
    library.amsbench_neighbours_fill.restype = None
    library.amsbench_neighbours_free.argtypes = (pointer,)
    library.amsbench_neighbours_free.restype = None
    library.amsbench_neighbours_curves.argtypes = (
        *batch, number, integer, number, integer, pointer, pointer, pointer
    )  # fmt: skip


LIBRARY = NativeLibrary(
    folder=Path(__file__).parent,
    name="_neighbours",
    prefix="amsbench_neighbours",
    abi=ABI,
    levels=SEARCH_LEVELS,
    # the other levels of the network's kernel
    highest_of=dict.fromkeys(("float32", "bf16", "amx"), SEARCH_LEVELS[-1]),
    declare=_declare,
)

_ATOMS_PER_THREAD = 1000
"""Fewer are searched sooner than a thread wakes up."""


class Neighbours(NamedTuple):
    """Directed edges of all pairs within a cutoff, sorted by receiver, then by sender.

    receivers [e], senders [e]: int64, indices into the packed atoms of all structures
    shifts [e, 3]: float64, angstrom; the edge vector is x[receiver] - x[sender] - shift with the positions as
        they were given, wrapped or not
    """

    receivers: np.ndarray
    senders: np.ndarray
    shifts: np.ndarray


def neighbour_list(
    positions: np.ndarray, cells: np.ndarray, counts: np.ndarray, cutoff: float, *, threads: int = 1
) -> Neighbours:
    """All pairs closer than ``cutoff`` in each structure of a batch, every periodic image its own edge.

    positions [n, 3]: angstrom, the atoms of all structures one after the other, also far outside the cells
    cells [s, 3, 3]: angstrom, rows are lattice vectors; however skewed or thin, left-handed too
    counts [s]: atoms of each structure, also none
    cutoff: angstrom; a distance of exactly this is none of them
    threads: share the structures of a large batch; the result does not depend on it

    In cells below the cutoff an atom is its own neighbour through its images; itself it never is. Atoms at the
    same point are neighbours at distance zero. The images of one pair come in no particular order.

    Raises AmsbenchError for positions or cells that are not finite, cells without volume, arrays that do not
    fit together, and a cutoff that is not positive.
    """
    packed = PackedStructures(
        positions=np.ascontiguousarray(positions, dtype=np.float64),
        cells=np.ascontiguousarray(cells, dtype=np.float64),
        counts=np.ascontiguousarray(counts, dtype=np.int64),
    )
    if not 0.0 < cutoff < np.inf:
        raise AmsbenchError(f"a cutoff of {cutoff} A finds no neighbours; it has to be positive and finite")
    return _native_list(packed, cutoff, threads) if active() else _vesin_list(packed, cutoff)


def distribution_counts(
    packed: SupportsPacking, *, r_max: float, shells: int, r_cut: float, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """What g(r) and P(theta) are made of, natively; only where ``active``.

    Returns, as int64, the neighbours of all atoms of each structure at distances in (k, k + 1] r_max / shells
    below the larger of the two ranges, [s, shells], and the angles between every two neighbours of an atom
    closer than ``r_cut`` in bins of 180 / bins degrees, [s, bins]. Without shells or bins that half is not
    computed. Errors as in ``neighbour_list``.
    """
    library = LIBRARY.functions
    positions = np.ascontiguousarray(packed.positions, dtype=np.float64)
    cells = np.ascontiguousarray(packed.cells, dtype=np.float64)
    counts = np.ascontiguousarray(packed.counts, dtype=np.int64)
    radial = np.zeros((len(counts), shells), dtype=np.int64)
    angular = np.zeros((len(counts), bins), dtype=np.int64)
    at = ctypes.c_int64()
    failed = library.amsbench_neighbours_curves(
        LIBRARY.level(), len(counts), counts.ctypes.data, positions.ctypes.data, cells.ctypes.data, r_max, shells,
        r_cut, bins, radial.ctypes.data, angular.ctypes.data, ctypes.byref(at),
    )  # fmt: skip
    if failed:
        _raise(failed, cells[at.value])
    return radial, angular


def active() -> bool:
    """Whether the native library is there and switched on."""
    return LIBRARY.active


def info() -> dict[str, Any]:
    """What runs and why: built, active, level, reason."""
    level = SEARCH_LEVELS[LIBRARY.level()] if LIBRARY.active else None
    return {"built": LIBRARY.built, "active": LIBRARY.active, "level": level, "reason": LIBRARY.reason}


class _Part:
    """The edges of a range of structures, found and not yet written."""

    def __init__(self, packed: PackedStructures, offsets: np.ndarray, bounds: tuple[int, int], cutoff: float):
        first, last = bounds
        self.library = LIBRARY.functions
        self.atom, self.handle = int(offsets[first]), ctypes.c_void_p()
        # named, because the library reads them
        positions, cells = packed.positions[self.atom :], packed.cells[first:last]
        counts = packed.counts[first:last]
        edges, at = ctypes.c_int64(), ctypes.c_int64()
        failed = self.library.amsbench_neighbours_find(
            LIBRARY.level(), len(counts), counts.ctypes.data, positions.ctypes.data, cells.ctypes.data, cutoff,
            ctypes.byref(self.handle), ctypes.byref(edges), ctypes.byref(at),
        )  # fmt: skip
        if failed:
            _raise(failed, cells[at.value])
        self.edges = edges.value

    def write(self, start: int, into: Neighbours) -> None:
        here = (array[start : start + self.edges] for array in into)
        self.library.amsbench_neighbours_fill(self.handle, self.atom, *(array.ctypes.data for array in here))

    def __del__(self) -> None:
        self.library.amsbench_neighbours_free(self.handle)


def _native_list(packed: PackedStructures, cutoff: float, threads: int) -> Neighbours:
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    ranges = _split(offsets, threads)
    run = map if len(ranges) == 1 else worker_threads("neighbours", len(ranges)).map
    parts = list(run(lambda bounds: _Part(packed, offsets, bounds, cutoff), ranges))
    starts = np.concatenate([[0], np.cumsum([part.edges for part in parts], dtype=np.int64)])
    edges = int(starts[-1])
    found = Neighbours(
        receivers=np.empty(edges, dtype=np.int64),
        senders=np.empty(edges, dtype=np.int64),
        shifts=np.empty((edges, 3)),
    )
    list(run(lambda part, start: part.write(start, found), parts, starts[:-1].tolist()))
    return found


def _split(offsets: np.ndarray, threads: int) -> list[tuple[int, int]]:
    """Ranges of structures with about as many atoms each, one per thread that pays."""
    structures, atoms = len(offsets) - 1, int(offsets[-1])
    wanted = max(1, min(threads, structures, atoms // _ATOMS_PER_THREAD))
    cuts = np.searchsorted(offsets, atoms * np.arange(1, wanted) / wanted)
    return [(a, b) for a, b in pairwise([0, *cuts.tolist(), structures]) if b > a] or [(0, 0)]


def _vesin_list(packed: PackedStructures, cutoff: float) -> Neighbours:
    """The same edges by vesin, one structure after the other."""
    receivers, senders, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    atom = 0
    for positions, cell in each_structure(packed):
        i, j, image = neighbour_pairs(positions, cell, True, cutoff, full_list=True, quantities="ijS")
        order = np.argsort(i * len(positions) + j, kind="stable")
        i, j, image = i[order], j[order], image[order]
        if len(positions):
            # of the wrapped atoms so far
            moved = np.floor(positions @ np.linalg.inv(cell))
            image = image + moved[i] - moved[j]
        receivers.append(i + atom)
        senders.append(j + atom)
        shifts.append(image @ cell)
        atom += len(positions)
    return Neighbours(np.concatenate(receivers), np.concatenate(senders), np.concatenate(shifts))


def _raise(failed: int, cell: np.ndarray) -> NoReturn:
    if failed == 1:
        raise AmsbenchError(
            "a structure has positions or a cell that are not finite numbers; drop it and count it as failed"
        )
    if failed == 2:
        raise AmsbenchError(f"a periodic structure has a cell without volume, {cell.tolist()}; set its cell")
    if failed == 3:
        raise MemoryError(f"no memory for the neighbours of a structure in the cell {cell.tolist()}")
    raise RuntimeError(f"the neighbour library has no level {os.environ.get('AMSBENCH_NATIVE_LEVEL')}")
