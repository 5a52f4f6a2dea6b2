"""Neighbour lists of batches of periodic structures, by a native library (neighbours.c) or by vesin.

The native library is built at installation if a C compiler is present. It takes less than a microsecond per atom for
a few hundred atoms, vesin ten. Both find the same edges. Two environment variables are read at every call:

AMSBENCH_NATIVE: ``0`` switches the library off
AMSBENCH_NATIVE_LEVEL: instruction set ``plain``, ``avx2`` or ``avx512``; the default is the best of the processor.
    Levels that exist only in the kernel of the network select the best here
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
"""Version of the interface of the library; a library with another version is not used."""

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
"""Fewest atoms of a thread; fewer are searched in less time than a thread needs to start."""


class Neighbours(NamedTuple):
    """Directed edges of all pairs within a cutoff, sorted by receiver, then by sender.

    receivers [e], senders [e]: int64, indices into the packed atoms of all structures
    shifts [e, 3]: float64, A; the edge vector is x[receiver] - x[sender] - shift, with the positions x of the input,
        wrapped or not
    """

    receivers: np.ndarray
    senders: np.ndarray
    shifts: np.ndarray


def neighbour_list(
    positions: np.ndarray, cells: np.ndarray, counts: np.ndarray, cutoff: float, *, threads: int = 1
) -> Neighbours:
    """Directed edges of all pairs of atoms closer than ``cutoff`` (A, exclusive) in each structure of a batch.

    positions [n, 3]: A, the atoms of all structures one after the other, wrapped into the cells or not
    cells [s, 3, 3]: A, rows are lattice vectors; may be skewed, thin or left-handed
    counts [s]: number of atoms of each structure, may be zero
    threads: number of threads over the structures of the batch; the result does not depend on it

    Every periodic image is an edge of its own. In cells smaller than the cutoff an atom is a neighbour of its own
    images, but never of itself. Atoms at the same point are neighbours at distance zero. The order of the images of
    one pair is not defined.

    Raises AmsbenchError for positions or cells that are not finite, cells without volume, arrays whose shapes do not
    match, and a cutoff that is not positive and finite.
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
    """Histograms of distances [s, shells] and bond angles [s, bins] of each structure, int64.

    r_max: largest distance, A; shell k holds the neighbours of all atoms at distances in (k, k + 1] r_max / shells
    r_cut: two neighbours of an atom form an angle if both are closer than this, A
    bins: number of bins between 0 and 180 degrees

    With zero shells or zero bins that histogram is not computed. Needs the native library (``active``). Errors as of
    ``neighbour_list``.
    """
    library = LIBRARY.functions
    positions = np.ascontiguousarray(packed.positions, dtype=np.float64)
    cells = np.ascontiguousarray(packed.cells, dtype=np.float64)
    counts = np.ascontiguousarray(packed.counts, dtype=np.int64)
    radial = np.zeros((len(counts), shells), dtype=np.int64)
    angular = np.zeros((len(counts), bins), dtype=np.int64)
    structure = ctypes.c_int64()
    failed = library.amsbench_neighbours_curves(
        LIBRARY.level(), len(counts), counts.ctypes.data, positions.ctypes.data, cells.ctypes.data, r_max, shells,
        r_cut, bins, radial.ctypes.data, angular.ctypes.data, ctypes.byref(structure),
    )  # fmt: skip
    if failed:
        _raise(failed, cells[structure.value])
    return radial, angular


def active() -> bool:
    """Whether the native library is built and not switched off."""
    return LIBRARY.active


def info() -> dict[str, Any]:
    """State of the native library: built and active (bool), level (instruction set or None), reason (text)."""
    level = SEARCH_LEVELS[LIBRARY.level()] if LIBRARY.active else None
    return {"built": LIBRARY.built, "active": LIBRARY.active, "level": level, "reason": LIBRARY.reason}


class _Part:
    """Edges of the structures in ``bounds`` (first, last + 1), held by the library until ``write`` copies them."""

    def __init__(self, packed: PackedStructures, offsets: np.ndarray, bounds: tuple[int, int], cutoff: float):
        first, last = bounds
        self.library = LIBRARY.functions
        self.atom, self.handle = int(offsets[first]), ctypes.c_void_p()
        # These names keep the arrays alive while the library reads them.
        positions, cells = packed.positions[self.atom :], packed.cells[first:last]
        counts = packed.counts[first:last]
        edges, structure = ctypes.c_int64(), ctypes.c_int64()
        failed = self.library.amsbench_neighbours_find(
            LIBRARY.level(), len(counts), counts.ctypes.data, positions.ctypes.data, cells.ctypes.data, cutoff,
            ctypes.byref(self.handle), ctypes.byref(edges), ctypes.byref(structure),
        )  # fmt: skip
        if failed:
            _raise(failed, cells[structure.value])
        self.edges = edges.value

    def write(self, start: int, output: Neighbours) -> None:
        """Copy the edges to ``output``, from index ``start`` on."""
        slices = (array[start : start + self.edges] for array in output)
        self.library.amsbench_neighbours_fill(
            self.handle, self.atom, *(array.ctypes.data for array in slices)
        )

    def __del__(self) -> None:
        self.library.amsbench_neighbours_free(self.handle)


def _native_list(packed: PackedStructures, cutoff: float, threads: int) -> Neighbours:
    """The edges by the native library, in ranges of structures for each thread."""
    offsets = np.concatenate([[0], np.cumsum(packed.counts)])
    ranges = _split(offsets, threads)
    run = map if len(ranges) == 1 else worker_threads("neighbours", len(ranges)).map
    parts = list(run(lambda bounds: _Part(packed, offsets, bounds, cutoff), ranges))
    starts = np.concatenate([[0], np.cumsum([part.edges for part in parts], dtype=np.int64)])
    edges = int(starts[-1])
    neighbours = Neighbours(
        receivers=np.empty(edges, dtype=np.int64),
        senders=np.empty(edges, dtype=np.int64),
        shifts=np.empty((edges, 3)),
    )
    list(run(lambda part, start: part.write(start, neighbours), parts, starts[:-1].tolist()))
    return neighbours


def _split(offsets: np.ndarray, threads: int) -> list[tuple[int, int]]:
    """Ranges of structures with about equal numbers of atoms, at most one per thread.

    offsets [s + 1]: index of the first atom of each structure, and the number of atoms
    """
    structures, atoms = len(offsets) - 1, int(offsets[-1])
    shares = max(1, min(threads, structures, atoms // _ATOMS_PER_THREAD))
    cuts = np.searchsorted(offsets, atoms * np.arange(1, shares) / shares)
    return [(a, b) for a, b in pairwise([0, *cuts.tolist(), structures]) if b > a] or [(0, 0)]


def _vesin_list(packed: PackedStructures, cutoff: float) -> Neighbours:
    """The same edges by vesin."""
    receivers, senders, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    atom = 0
    for positions, cell in each_structure(packed):
        i, j, image = neighbour_pairs(positions, cell, True, cutoff, full_list=True, quantities="ijS")
        order = np.argsort(i * len(positions) + j, kind="stable")
        i, j, image = i[order], j[order], image[order]
        if len(positions):
            # The translations of vesin are between wrapped atoms; these are between the atoms of the input.
            wrapping = np.floor(positions @ np.linalg.inv(cell))
            image = image + wrapping[i] - wrapping[j]
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
