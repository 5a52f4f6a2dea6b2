"""Loaded datasets, and the tasks and training samples made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import AmsbenchError
from ..interface.task import Task
from .definition import SPLITS, DatasetDefinition, Split

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A loaded dataset of ``s`` samples with ``n`` atoms in all and ``p`` properties.

    positions [n, 3]: angstrom, float32, wrapped into the cell
    cells [s, 3, 3]: angstrom, float32, rows are lattice vectors
    species [n]: int64, index into ``definition.elements``
    counts [s]: int64, atoms of each sample
    properties [s, p]: float32 in the units of ``definition.properties``, NaN for missing labels
    groups [s]: int64, number of the independent simulation (melt) of each sample
    splits [s]: int8, index into SPLITS
    provenance: recipe, protocol, seeds, potential hash, LAMMPS version, failure counts
    content_hash: sha256 of all arrays and the metadata
    path: file of the dataset, for messages
    """

    definition: DatasetDefinition
    positions: np.ndarray
    cells: np.ndarray
    species: np.ndarray
    counts: np.ndarray
    properties: np.ndarray
    groups: np.ndarray
    splits: np.ndarray
    provenance: dict[str, Any]
    content_hash: str
    path: str

    def __len__(self) -> int:
        return len(self.counts)

    def __iter__(self) -> Iterator[Atoms]:
        """The samples as ASE Atoms, one after the other."""
        return map(self.atoms, range(len(self)))

    @property
    def property_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.definition.properties)

    @property
    def numbers(self) -> np.ndarray:
        """Atomic number of each atom, [n]."""
        from ase.data import atomic_numbers

        return np.array([atomic_numbers[symbol] for symbol in self.definition.elements])[self.species]

    @property
    def offsets(self) -> np.ndarray:
        """First atom of each sample in the packed arrays, and the end of the last: [s + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def indices(self, split: Split) -> np.ndarray:
        """Indices of the samples of one split."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def subset(self, indices: np.ndarray) -> Dataset:
        """Dataset of the samples at ``indices``, in that order; provenance and hash stay those of the file."""
        offsets = self.offsets
        rows = (
            np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in indices])
            if len(indices)
            else np.zeros(0, dtype=np.int64)
        )
        return replace(
            self,
            positions=self.positions[rows],
            cells=self.cells[indices],
            species=self.species[rows],
            counts=self.counts[indices],
            properties=self.properties[indices],
            groups=self.groups[indices],
            splits=self.splits[indices],
        )

    def split(self, split: Split) -> Dataset:
        """Dataset of the samples of one split."""
        return self.subset(self.indices(split))

    def atoms(self, index: int) -> Atoms:
        """One sample as ASE Atoms, with its labels, group and split in ``info``."""
        from ase import Atoms

        start, stop = self.offsets[index], self.offsets[index + 1]
        symbols = [self.definition.elements[k] for k in self.species[start:stop]]
        labels = {
            name: float(value)
            for name, value in zip(self.property_names, self.properties[index], strict=True)
            if np.isfinite(value)
        }
        info: dict[str, Any] = {
            "group": int(self.groups[index]),
            "split": SPLITS[self.splits[index]],
            **labels,
        }
        return Atoms(
            symbols, positions=self.positions[start:stop], cell=self.cells[index], pbc=True, info=info
        )


def samples_of(dataset: Dataset, task: Task) -> list[Any]:
    """Samples as torch-geometric ``Data`` with ``pos``, ``cell``, ``species`` and the task's ``properties``."""
    from torch_geometric.data import Data

    columns = [dataset.property_names.index(name) for name in task.properties]
    offsets = dataset.offsets
    samples = []
    for k in range(len(dataset)):
        rows = slice(offsets[k], offsets[k + 1])
        samples.append(
            Data(
                pos=torch.as_tensor(dataset.positions[rows], dtype=torch.float32),
                cell=torch.as_tensor(dataset.cells[k], dtype=torch.float32)[None],
                species=torch.as_tensor(dataset.species[rows], dtype=torch.long),
                properties=torch.as_tensor(dataset.properties[k, columns], dtype=torch.float32)[None],
                num_nodes=int(dataset.counts[k]),
            )
        )
    return samples


def task_of(dataset: Dataset, properties: tuple[str, ...]) -> Task:
    """Task of a method on ``dataset`` conditioned on ``properties``, with the statistics of the training split.

    Raises AmsbenchError for unknown properties and for those with less than two different labels.
    """
    train = dataset.split("train")
    columns = []
    for name in properties:
        dataset.definition.property_named(name)
        column = train.properties[:, dataset.property_names.index(name)]
        column = column[~torch.isnan(torch.as_tensor(column)).numpy()].astype(float)
        if len(column) < 2:
            raise AmsbenchError(
                f"property '{name}' has {len(column)} labels in the training split of {dataset.path}; "
                "at least 2 are needed to condition on it"
            )
        if column.std() == 0:
            raise AmsbenchError(
                f"property '{name}' is {column[0]:.6g} in all of the training split of {dataset.path}; nothing "
                "can be learnt about it, leave it out"
            )
        columns.append(column)
    charges = dataset.definition.formal_charges
    return Task(
        dataset=dataset.definition.name,
        dataset_hash=dataset.content_hash,
        elements=dataset.definition.elements,
        ghost_density=dataset.definition.ghost_density,
        properties=properties,
        property_mean=tuple(float(c.mean()) for c in columns),
        property_std=tuple(float(c.std()) for c in columns),
        property_min=tuple(float(c.min()) for c in columns),
        property_max=tuple(float(c.max()) for c in columns),
        formal_charges=None
        if charges is None
        else tuple(charges[element] for element in dataset.definition.elements),
    )
