"""Subject of the method checks, a method on a small task, and transformed noise for the checks of symmetries."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..benchmark.datasets.dataset import Dataset, task_of
from ..benchmark.interface.method import Method
from ..benchmark.interface.noise import BatchNoise, NoiseSource, StructureNoise, structure_seeds
from ..benchmark.interface.settings import with_changes
from ..benchmark.interface.structures import Structures, add_ghosts, fractional
from ..benchmark.interface.task import Task
from .checks import fail
from .synthetic import synthetic_dataset

GLASS = ("Si", "P", "Al", "Li", "Be", "K", "Ca", "Ti", "Ba", "Zn", "O")
CHARGES = {"Si": 4, "P": 5, "Al": 3, "Li": 1, "Be": 2, "K": 1, "Ca": 2, "Ti": 4, "Ba": 2, "Zn": 2, "O": -2}

TASKS: dict[str, dict[str, Any]] = {
    "one element": {"elements": ("Si",), "ghost_density": None, "properties": ()},
    "two elements": {"elements": ("Si", "O"), "ghost_density": None, "properties": ("first_fraction",)},
    "ghosts and properties": {"elements": ("Si", "O"), "ghost_density": 0.11},
    "eleven elements": {"elements": GLASS, "ghost_density": 0.11, "formal_charges": CHARGES},
}
"""Tasks of the checks, as arguments of ``synthetic_dataset``: with and without ghosts, properties and charges."""

LEAST_CELL = 9.2
"""Approximate edge of the cells, angstrom; larger if the cutoff requires it."""
TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-3}
"""Largest difference of equivalent structures after a few sampling steps, angstrom."""
STIR = 0.3
"""Standard deviation of the noise added to every weight, times the square root of its number of inputs. Without this
noise layers that are initialised as zeros would hide faults."""


LEAST_SPREAD = 0.25
"""Smallest range of the positions over the edge of the cell; a smaller one is reported as a wrong unit."""

_surprises = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Network preset, changes to its configuration, and precision with which a method is built for the checks."""

    network: str | None
    config: Mapping[str, Any]
    precision: torch.dtype


class Probe:
    """One method class on one task, with structures to train on and cells to sample in."""

    def __init__(self, method_class: type[Method], settings: Settings, name: str) -> None:
        self.method_class, self.settings, self.name = method_class, settings, name

    def __str__(self) -> str:
        return f" [task '{self.name}']"

    @cached_property
    def dataset(self) -> Dataset:
        small = synthetic_dataset(**TASKS[self.name])
        # cells are sheared, and up to 5 % smaller than requested
        least = 1.15 * self.with_dataset(small).cutoff
        return small if least <= LEAST_CELL else synthetic_dataset(cell=least, **TASKS[self.name])

    def with_dataset(self, dataset: Dataset) -> Method:
        """New method for the task of a dataset."""
        return self._built(task_of(dataset, dataset.definition.design_properties))

    @cached_property
    def task(self) -> Task:
        return task_of(self.dataset, self.dataset.definition.design_properties)

    def config(self, network: str | None = None) -> dict[str, Any]:
        """Configuration of the method in the checks, or the default configuration of a network preset."""
        return self.method_class.default_config(network, self.task) if network else self._config(self.task)

    def method(self, *, stirred: bool = True, precise: bool = False) -> Method:
        """New method with reproducible, perturbed weights, in the precision of comparisons (``precise``) or float32."""
        method = self._built(self.task)
        if stirred:
            perturb_weights(method)
        return method.to(self.settings.precision if precise else torch.float32)

    def _config(self, task: Task) -> dict[str, Any]:
        preset = self.settings.network or self.method_class.networks[0]
        settings = self.method_class.default_config(preset, task)
        return with_changes(settings, self.settings.config, f"method '{self.method_class.name}'")

    def _built(self, task: Task) -> Method:
        torch.manual_seed(0)
        return self.method_class(task, self._config(task))

    # -- sampling ------------------------------------------------------------------------------------------

    def start(
        self, rows: Sequence[int] = (0, 1), properties: Tensor | None = None, precise: bool = False
    ) -> Structures:
        """Empty cells of the structures ``rows`` of the dataset, all of different sizes.

        properties [s, p]: targets; by default the labels, half of them absent in every other structure
        """
        cells = torch.as_tensor(self.dataset.cells[list(rows)])
        counts = torch.as_tensor(self.dataset.counts[list(rows)])
        if self.task.ghost_density is not None:
            counts = (self.task.ghost_density * torch.linalg.det(cells).abs().double()).floor().long()
        if properties is None:
            properties = torch.as_tensor(self.dataset.properties[list(rows)])
            properties = properties.masked_fill(self._hidden(rows), torch.nan)
        dtype = self.settings.precision if precise else torch.float32
        return Structures.empty_cells(cells.to(dtype), counts, properties.to(dtype))

    def _hidden(self, rows: Sequence[int]) -> Tensor:
        """Whether labels [s, p] are absent: in structures of odd index the first, the third, and so on."""
        columns = torch.arange(self.dataset.properties.shape[1])
        return (torch.tensor(rows)[:, None] % 2 > 0) & (columns % 2 == 0)

    def noise(self, start: Structures, rows: Sequence[int] = (0, 1), seed: int = 0) -> StructureNoise:
        """Noise source for the structures ``rows``, independent of the rest of the batch."""
        seeds = [structure_seeds(seed, row, 1)[0] for row in rows]
        return StructureNoise(start.counts.tolist(), seeds, dtype=start.cells.dtype)

    def sample(
        self, method: Method, start: Structures, steps: int, sampler: str, noise: NoiseSource
    ) -> Structures:
        """Sampled structures; the global random states of torch, numpy and Python differ for every call."""
        method.eval()
        with torch.no_grad(), scrambled_global_rng():
            try:
                structures = method.sample(start, steps, sampler, noise)
            except Exception as error:
                fail(f"sampler '{sampler}' with {steps} steps raised {type(error).__name__}: {error}")
        if not isinstance(structures, Structures):
            fail(f"sampler '{sampler}' returned a {type(structures).__name__}, not Structures")
        if (
            structures.positions.shape != start.positions.shape
            or structures.species.shape != start.species.shape
        ):
            fail(
                f"sampler '{sampler}' with {steps} steps returned positions {tuple(structures.positions.shape)} and "
                f"species {tuple(structures.species.shape)} for {len(start.positions)} atoms"
            )
        return structures

    def difference(self, found: Structures, wanted: Structures) -> float:
        """Largest difference of a coordinate of an atom, angstrom; infinite for different species."""
        if not torch.equal(found.species, wanted.species):
            return float("inf")
        return float((found.positions.double() - wanted.positions.double()).abs().amax())

    # -- training ------------------------------------------------------------------------------------------

    def batch(
        self, rows: Sequence[int] = (0, 1), *, hidden: bool = False, precise: bool = False
    ) -> Structures:
        """Structures of the dataset with ghosts, as in training; with ``hidden`` some of the labels are absent."""
        data = self.dataset.subset(np.array(rows))
        properties, counts = torch.as_tensor(data.properties), torch.as_tensor(data.counts)
        if hidden:
            properties = properties.masked_fill(self._hidden(rows), torch.nan)
        dtype = self.settings.precision if precise else torch.float32
        batch = Structures(
            positions=torch.as_tensor(data.positions).to(dtype),
            cells=torch.as_tensor(data.cells).to(dtype),
            species=torch.as_tensor(data.species),
            batch=torch.repeat_interleave(torch.arange(len(counts)), counts),
            counts=counts,
            properties=properties.to(dtype),
        )
        if self.task.ghost_density is None:
            return batch
        ghost = len(self.task.elements)
        return add_ghosts(batch, self.task.ghost_density, ghost, torch.Generator().manual_seed(0))

    def losses(
        self, method: Method, batch: Structures, seed: int, *, teacher: Method, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """Losses of a batch, with the noise of a seed."""
        generator = torch.Generator().manual_seed(seed)
        noise = BatchNoise(len(batch.positions), len(batch), generator, dtype=batch.positions.dtype)
        with scrambled_global_rng():
            losses = method.training_loss(batch, noise, teacher=teacher, progress=progress)
        if not isinstance(losses.get("loss"), Tensor):
            fail(f"training_loss has no tensor under 'loss'; it returned {sorted(losses)}")
        return losses


def unit_hint(sample: Structures) -> str:
    """Message about a probable wrong unit if positions span a small part of their cells only; otherwise ''."""
    fractions = fractional(sample.positions, sample)
    spread = max(
        float((values.amax(0) - values.amin(0)).max())
        for values in fractions.split(sample.counts.tolist())
        if len(values) > 1
    )
    edge = float(torch.linalg.vector_norm(sample.cells[0], dim=-1).max())
    if not 0 < spread < LEAST_SPREAD:
        return ""
    return (
        f"positions spread over {spread * edge:.2g} A in a cell of {edge:.3g} A: they seem to be fractional "
        "coordinates or nanometres; samplers return angstrom"
    )


def sampler_names(method: Method) -> list[str]:
    """Names of the samplers of a method, in order."""
    return [sampler.name for sampler in method.samplers]


def perturb_weights(method: Method) -> None:
    """Add reproducible noise to every weight."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in method.parameters():
            inputs = weights.shape[-1] if weights.dim() > 1 else 10
            weights.add_(
                torch.randn(weights.shape, generator=generator).to(weights), alpha=STIR / inputs**0.5
            )


@contextmanager
def scrambled_global_rng() -> Iterator[None]:
    """Context with a new state of the global random number generators; the old state is restored at its end."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    fresh = next(_surprises)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fresh)
        np.random.seed(fresh)  # noqa: NPY002
        random.seed(fresh)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002


@contextmanager
def deterministic_context() -> Iterator[None]:
    """Context with one thread, for reproducible rounding; the state of torch's generators is restored at its end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass(kw_only=True)
class TransformedNoise:
    """Noise source with transformed numbers; ``touched`` is true after initial positions were drawn.

    atoms: transforms the vectors of normal_atoms(3)
    places: transforms the first uniform_atoms(3), the initial fractional coordinates
    draws: transforms all random numbers of atoms
    """

    source: NoiseSource
    atoms: Callable[[Tensor], Tensor] | None = None
    places: Callable[[Tensor], Tensor] | None = None
    draws: Callable[[Tensor], Tensor] | None = None
    touched: bool = False

    def normal_atoms(self, width: int) -> Tensor:
        drawn = self._all(self.source.normal_atoms(width))
        return drawn if self.atoms is None or width != 3 else self.atoms(drawn)

    def uniform_atoms(self, width: int) -> Tensor:
        drawn = self._all(self.source.uniform_atoms(width))
        if self.places is None or self.touched or width != 3:
            return drawn
        self.touched = True
        return self.places(drawn)

    def _all(self, drawn: Tensor) -> Tensor:
        return drawn if self.draws is None else self.draws(drawn)

    def normal_structures(self, width: int) -> Tensor:
        return self.source.normal_structures(width)

    def uniform_structures(self, width: int) -> Tensor:
        return self.source.uniform_structures(width)

    def restarted(self) -> TransformedNoise:
        return replace(self, source=self.source.restarted(), touched=False)
