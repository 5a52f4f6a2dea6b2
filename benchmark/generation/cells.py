"""Periodic cells and atom counts of the structures to generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...errors import AmsbenchError
from ..datasets.dataset import Dataset
from ..datasets.definition import plans_of
from ..datasets.storage import load_dataset
from ..interface.evaluation_plan import EvaluationPlan
from ..system.arguments import whole_number

if TYPE_CHECKING:
    from ..interface.method import Method


MOST_STRUCTURES = 1_000_000
"""Most structures that are generated at a time."""

MOST_ATOMS = 8_000_000
"""Most atoms of a structure, ghosts included: networks address tables of atoms with 32 bits."""


def cells_of(plan: EvaluationPlan, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Cells [count, 3, 3] (angstrom) and atom counts [count] of a plan, ghosts included.

    Plans without cubes take cells of the training set at even distances, so that few structures span it too.
    """
    density = dataset.definition.ghost_density
    if plan.cube is not None:
        cells = np.tile(np.eye(3) * plan.cube, (plan.count, 1, 1))
        if density is None:
            raise AmsbenchError(
                f"plan '{plan.name}' of '{dataset.definition.name}' has cubic cells, but without ghosts the atom "
                "count is not known; give the dataset a ghost density"
            )
        counts = np.full(plan.count, int(np.floor(density * plan.cube**3)))
        return cells, counts
    train = dataset.indices("train")
    rows = train[(np.arange(plan.count) * len(train)) // plan.count % len(train)]
    cells = dataset.cells[rows].astype(float)
    if density is None:
        return cells, dataset.counts[rows]
    return cells, np.floor(density * np.abs(np.linalg.det(cells))).astype(np.int64)


def start_cells(
    method: Method, count: int, cell: float | Sequence[float] | None, dataset: Dataset | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cells [count, 3, 3] (angstrom) and atom counts [count], ghosts included, in which a generation starts.

    cell: edge of a cube, three edges or nine numbers, angstrom; None takes cells of the dataset
    dataset: by default the bundled one of the method's task. Without ghosts the atom count of a given ``cell`` follows
        from the mean density of its training set
    """
    count = whole_number(count, "the number of structures", least=1)
    if count > MOST_STRUCTURES:
        raise AmsbenchError(
            f"{count:,} structures are more than the {MOST_STRUCTURES:,} that are generated at a time; generate them "
            "in parts, with a seed for each"
        )
    task = method.task
    if cell is None or task.ghost_density is None:
        dataset = dataset or load_dataset(task.dataset)
    if cell is None:
        assert dataset is not None
        plan = plans_of(dataset.definition, "paper")[0]
        return cells_of(plan.changed(count=count), dataset)
    matrix = cell_matrix(cell)
    density = task.ghost_density
    if density is None:
        assert dataset is not None
        train = dataset.split("train")
        density = float(train.counts.sum() / np.abs(np.linalg.det(train.cells)).sum())
    atoms = int(density * abs(np.linalg.det(matrix)) + (0.5 if task.ghost_density is None else 0.0))
    if atoms < 1:
        raise AmsbenchError(
            f"a cell of {abs(np.linalg.det(matrix)):.3g} A^3 has no room for an atom; give a larger one"
        )
    if atoms > MOST_ATOMS:
        raise AmsbenchError(
            f"a cell of {abs(np.linalg.det(matrix)):.3g} A^3 holds {atoms:,} atoms and ghosts, of which a structure "
            f"has at most {MOST_ATOMS:,}; give a smaller one"
        )
    return np.tile(matrix, (count, 1, 1)), np.full(count, atoms)


def cell_matrix(cell: float | Sequence[float]) -> np.ndarray:
    """Lattice vectors [3, 3] from the edge of a cube, three edges or nine numbers, angstrom."""
    try:
        values = np.asarray(cell)
        if values.dtype.kind not in "iuf":  # numpy makes numbers of texts and of true and false, too
            raise ValueError
        numbers = np.atleast_1d(values).astype(float).ravel()
    except (TypeError, ValueError) as error:
        raise AmsbenchError(f"a cell is 1, 3 or 9 numbers in angstrom, not {cell!r}") from error
    if len(numbers) not in (1, 3, 9) or not np.isfinite(numbers).all():
        raise AmsbenchError(f"a cell is 1, 3 or 9 finite numbers in angstrom, not {numbers.tolist()}")
    if len(numbers) < 9 and not (numbers > 0).all():
        raise AmsbenchError(f"the edges of a cell are above 0, in angstrom, not {numbers.tolist()}")
    matrix = (
        numbers.reshape(3, 3) if len(numbers) == 9 else np.diag(np.broadcast_to(numbers, 3)).astype(float)
    )
    if abs(np.linalg.det(matrix)) < 1.0:
        raise AmsbenchError(f"the cell {numbers.tolist()} has no volume; give lattice vectors in angstrom")
    return matrix


def check_cells(cells: torch.Tensor, cutoff: float) -> None:
    """Raise AmsbenchError for cells [s, 3, 3] without volume or thinner than the network's cutoff (angstrom)."""
    volumes = torch.linalg.det(cells.double()).abs()
    if not bool(torch.isfinite(volumes).all()) or bool((volumes < 1.0).any()):
        raise AmsbenchError("a cell has no volume; give the lattice vectors in angstrom")
    thinnest = cell_heights(cells)
    if bool((thinnest < cutoff).any()):
        worst = int(thinnest.argmin())
        raise AmsbenchError(
            f"cell {worst} has a height of {float(thinnest[worst]):.2f} A, below the network's cutoff of "
            f"{cutoff:g} A; choose a larger cell"
        )


def cell_heights(cells: torch.Tensor) -> torch.Tensor:
    """Smallest distance of opposite faces of each cell [s, 3, 3]: [s], angstrom."""
    return (1 / torch.linalg.norm(torch.linalg.inv(cells.double()), dim=-2)).amin(dim=-1)
