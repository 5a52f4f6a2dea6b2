"""Packed batches of periodic structures, and operations on their coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms


PER_ATOM = ("positions", "species", "batch", "scores")
"""Fields of a batch with a row per atom; the others have one per structure."""


@dataclass(frozen=True, kw_only=True)
class Structures:
    """Batch of ``s`` periodic structures with ``n`` atoms (and ghosts) in all.

    positions [n, 3]: angstrom, not necessarily inside the cell
    cells [s, 3, 3]: angstrom, rows are lattice vectors
    species [n]: int64, index into the element list of the task; the index after the last one is a ghost
    batch [n]: int64, the structure of each atom, ascending
    counts [s]: int64, atoms (and ghosts) of each structure
    properties [s, p]: in the units of the dataset, NaN where a property is absent (never 0)
    """

    positions: Tensor
    cells: Tensor
    species: Tensor
    batch: Tensor
    counts: Tensor
    properties: Tensor

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def volumes(self) -> Tensor:
        """Cell volumes [s], A^3."""
        return torch.linalg.det(self.cells).abs()

    @property
    def offsets(self) -> Tensor:
        """First atom of each structure in the packed arrays, and the end of the last: [s + 1]."""
        return torch.cat([self.counts.new_zeros(1), self.counts.cumsum(0)])

    def part(self, first: int, stop: int) -> tuple[Structures, slice]:
        """Structures ``first`` to ``stop`` - 1 of the batch, and the rows of their atoms in it."""
        start, end = self.offsets[[first, stop]].tolist()
        atoms, structures = slice(start, end), slice(first, stop)
        fields = {
            name: value[atoms if name in PER_ATOM else structures] for name, value in vars(self).items()
        }
        return type(self)(**fields | {"batch": fields["batch"] - first}), atoms

    def to(self, device: torch.device | str) -> Structures:
        """The same structures on a device; a copy from the CPU to a GPU does not wait for earlier work of the GPU."""
        if torch.device(device).type != "cuda" or self.positions.is_cuda:
            return Structures(**{name: value.to(device) for name, value in vars(self).items()})
        pinned = {name: value.pin_memory() if value.numel() else value for name, value in vars(self).items()}
        return Structures(**{name: value.to(device, non_blocking=True) for name, value in pinned.items()})

    def with_positions(self, positions: Tensor) -> Structures:
        return replace(self, positions=positions)

    @classmethod
    def from_data(cls, batch: Any) -> Structures:
        """From a torch-geometric ``Data`` or ``Batch`` with ``pos, cell, species, properties``."""
        index = getattr(batch, "batch", None)
        if index is None:
            index = torch.zeros(len(batch.pos), dtype=torch.long)
        return cls(
            positions=batch.pos,
            cells=batch.cell,
            species=batch.species,
            batch=index,
            counts=torch.bincount(index, minlength=len(batch.cell)),
            properties=batch.properties,
        )

    @classmethod
    def empty_cells(cls, cells: Tensor, counts: Tensor, properties: Tensor) -> Structures:
        """Start of a sampling: cells [s, 3, 3], atom counts [s], targets [s, p]; zero positions and species."""
        total = int(counts.sum())
        return cls(
            positions=cells.new_zeros(total, 3),
            cells=cells,
            species=torch.zeros(total, dtype=torch.long, device=cells.device),
            batch=torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts),
            counts=counts,
            properties=properties,
        )

    @classmethod
    def from_atoms(cls, frames: Sequence[Atoms], elements: Sequence[str], properties: int = 0) -> Structures:
        """From ASE Atoms, with ``properties`` NaN properties; AmsbenchError for an element not in ``elements``."""
        index = {symbol: k for k, symbol in enumerate(elements)}
        species: list[int] = []
        for number, frame in enumerate(frames):
            for symbol in frame.get_chemical_symbols():
                if symbol not in index:
                    raise AmsbenchError(
                        f"structure {number} has element '{symbol}', which the dataset does not have; "
                        f"its elements are {', '.join(elements)}"
                    )
                species.append(index[symbol])
        counts = torch.tensor([len(frame) for frame in frames])
        return cls(
            positions=torch.cat([torch.tensor(frame.positions, dtype=torch.float32) for frame in frames]),
            cells=torch.stack([torch.tensor(frame.cell.array, dtype=torch.float32) for frame in frames]),
            species=torch.tensor(species),
            batch=torch.repeat_interleave(torch.arange(len(counts)), counts),
            counts=counts,
            properties=torch.full((len(counts), properties), torch.nan),
        )

    def to_atoms(self, elements: Sequence[str]) -> list[Atoms]:
        """As ASE Atoms without ghosts, positions wrapped into the cell if it has a volume."""
        from ase import Atoms
        from ase.data import atomic_numbers

        numbers = np.array([*(atomic_numbers[name] for name in elements), 0])
        frames = []
        offsets = self.offsets.tolist()
        positions = self.positions.detach().double().cpu().numpy()
        species = self.species.cpu().numpy()
        cells = self.cells.double().cpu().numpy()
        with np.errstate(all="ignore"):
            volumes = np.linalg.det(cells)
        for k in range(len(self)):
            kinds = species[offsets[k] : offsets[k + 1]]
            real = kinds < len(elements)  # no ghosts
            frame = Atoms(
                numbers[kinds[real]],
                positions=positions[offsets[k] : offsets[k + 1]][real],
                cell=cells[k],
                pbc=True,
            )
            if np.isfinite(volumes[k]) and volumes[k] != 0.0:
                frame.wrap()
            frames.append(frame)
        return frames


@dataclass(frozen=True, kw_only=True)
class ScoredStructures(Structures):
    """Training batch whose structures are Boltzmann samples, with the gradient of the log-density of their positions.

    scores [n, 3]: force over kT, 1/A; 0 for ghosts, which are uniform
    score_variance [s]: mean square of a component of the scores over the training split, 1/A^2, the same for all
    """

    scores: Tensor
    score_variance: Tensor

    def with_positions(self, positions: Tensor) -> Structures:
        """Structures without scores, which are those of the old positions."""
        fields = {
            name: value for name, value in vars(self).items() if name in Structures.__dataclass_fields__
        }
        return Structures(**fields | {"positions": positions})

    @classmethod
    def from_data(cls, batch: Any) -> ScoredStructures:
        """From a torch-geometric ``Data`` or ``Batch`` that has ``scores`` and ``score_variance``, too."""
        fields = vars(Structures.from_data(batch))
        return cls(**fields, scores=batch.scores, score_variance=batch.score_variance)

    def to(self, device: torch.device | str) -> ScoredStructures:
        return ScoredStructures(**{name: value.to(device) for name, value in vars(self).items()})


def add_ghosts(structures: Structures, density: float, ghost: int, generator: torch.Generator) -> Structures:
    """Fill every cell with ghosts at uniform positions up to floor(density * volume) atoms (Definition 2 of the paper).

    density: atoms plus ghosts per A^3
    ghost: species index of the ghosts
    Raises AmsbenchError if a cell is denser already.
    """
    device = structures.positions.device
    totals = (density * structures.volumes.double()).floor().long()
    extra = totals - structures.counts
    if bool((extra < 0).any()):
        worst = int(extra.argmin())
        raise AmsbenchError(
            f"structure {worst} has {int(structures.counts[worst])} atoms, more than the ghost density "
            f"{density} per A^3 allows in its cell ({int(totals[worst])}); raise the ghost density"
        )
    owner = torch.repeat_interleave(torch.arange(len(extra), device=device), extra)
    fractions = torch.rand(len(owner), 3, generator=generator, dtype=structures.positions.dtype).to(device)
    ghosts = cartesian(fractions, replace(structures, batch=owner))
    order = torch.argsort(torch.cat([structures.batch, owner]), stable=True)
    species = torch.cat([structures.species, torch.full_like(owner, ghost)])
    more = {}
    if isinstance(structures, ScoredStructures):
        more["scores"] = torch.cat([structures.scores, torch.zeros_like(ghosts)])[order]
    return replace(
        structures,
        positions=torch.cat([structures.positions, ghosts])[order],
        species=species[order],
        batch=torch.cat([structures.batch, owner])[order],
        counts=totals,
        **more,
    )


def means_of_structures(values: Tensor, structures: Structures) -> Tensor:
    """Means [s, c] over the atoms of each structure of values [n, c]."""
    sums = values.new_zeros(len(structures), values.shape[1]).index_add_(0, structures.batch, values)
    return sums / structures.counts.to(values.dtype)[:, None]


def minimum_image(vectors: Tensor, batch: Structures) -> Tensor:
    """Shortest periodic images of displacements [n, 3], angstrom; exact for cells that are not very skewed."""
    fractions = fractional(vectors, batch)
    return cartesian(fractions - fractions.round(), batch)


def fractional(positions: Tensor, structures: Structures) -> Tensor:
    """Fractional coordinates [n, 3] of positions [n, 3] (angstrom) in the cell of each atom's structure."""
    return torch.einsum("ni,nij->nj", positions, torch.linalg.inv(structures.cells)[structures.batch])


def cartesian(fractions: Tensor, structures: Structures) -> Tensor:
    """Positions [n, 3] (angstrom) of fractional coordinates [n, 3] in the cell of each atom's structure."""
    return torch.einsum("ni,nij->nj", fractions, structures.cells[structures.batch])
