"""Non-learned baselines: the simulation that made the data, and relaxed random positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..benchmark.datasets.definition import DatasetDefinition, Recipe, SimulationFailed
from ..benchmark.datasets.molecular_dynamics import molecular_dynamics
from ..benchmark.interface.method_card import MethodCard
from ..benchmark.runs.non_learned import TaskBaseline
from ..errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms

RELAXATION_ATTEMPTS = 20
"""Number of seeds tried before a task fails; the reported time includes failed attempts."""
APART = 1
"""Number added to the entropy of every seed, so that a baseline does not repeat the simulations of the dataset."""
RELAXED = 0.01
"""Force tolerance of a relaxation, eV/A."""
RELAXATION_STEPS = 10_000
TIME_STEP = 0.001
"""Time step, ps; LAMMPS needs one for a minimisation, too."""


def _first_usable(seed: int, index: int, make: Callable[[int], list[Atoms]]) -> list[Atoms]:
    """Structures that ``make`` returns for the first seed without SimulationFailed; AmsbenchError if all seeds fail.

    Seeds are within LAMMPS' range from 1 to 900,000,000.
    """
    reason = ""
    for attempt in range(RELAXATION_ATTEMPTS):
        state = np.random.SeedSequence((seed, index, attempt, APART)).generate_state(1)
        try:
            return make(int(state[0]) % 900_000_000 + 1)
        except SimulationFailed as failure:
            reason = str(failure)
    raise AmsbenchError(
        f"none of {RELAXATION_ATTEMPTS} seeds gave a usable structure; the last one: {reason}; try another --seed"
    )


@dataclass(frozen=True, kw_only=True)
class _Melt:
    recipe: Recipe
    seed: int
    index: int
    samples: int


class Simulation(TaskBaseline):
    """Baseline that repeats the dataset's simulation with other seeds: the lowest possible error, and its cost.

    The time of a melt is divided among its snapshots.
    """

    name = "simulation"
    title: ClassVar[str] = "the LAMMPS protocol of the dataset itself, run again"
    sampler: ClassVar[str] = "protocol"
    card: ClassVar[MethodCard | None] = MethodCard(
        reference="the dataset's own protocol (amsbench data info NAME --json)",
        declared=(
            "the recipe is that of the dataset's file; its description lists the settings that are shorter than in the "
            "paper",
            "targets are ignored: in a table of inverse design the errors are those of structures without conditioning",
            "time: processor seconds of one core per structure, failed attempts included; the time of a melt is "
            "divided among its snapshots",
        ),
    )

    @property
    def recipe(self) -> Recipe:
        recipe: Recipe = self.dataset.provenance["recipe"]
        return recipe

    def dependencies(self) -> dict[str, Any]:
        definition = self.dataset.definition
        return {"protocol": definition.simulation_recipe(self.recipe), "engine": definition.engine()}

    def jobs(self, count: int, seed: int) -> Sequence[_Melt]:
        each = self.dataset.definition.samples_per_simulation(self.recipe)
        return [
            _Melt(recipe=self.recipe, seed=seed, index=first // each, samples=min(each, count - first))
            for first in range(0, count, each)
        ]

    @staticmethod
    def work(definition: DatasetDefinition, job: _Melt) -> list[Atoms]:
        """The structures of one melt; AmsbenchError if the simulation fails with every seed."""
        simulated = definition.definition_for(job.index)
        return _first_usable(
            job.seed, job.index, lambda seed: simulated.simulate(job.recipe, seed, job.samples)
        )


@dataclass(frozen=True, kw_only=True)
class _Packing:
    symbols: tuple[str, ...]
    cell: np.ndarray
    seed: int
    index: int


class RandomRelax(TaskBaseline):
    """Baseline of random positions in cells of training structures, relaxed in the dataset's potential."""

    name = "random-relax"
    title: ClassVar[str] = "random positions relaxed in the potential that made the data"
    sampler: ClassVar[str] = "relaxation"
    card: ClassVar[MethodCard | None] = MethodCard(
        reference="C. J. Pickard and R. J. Needs, Ab initio random structure searching, J. Phys.: Condens. Matter 23, "
        "053201 (2011)",
        kept=("uniformly random positions, relaxed to the nearest local minimum of the energy",),
        declared=(
            "cells, atom counts and species are those of training structures; the cell is not relaxed",
            "the random positions have no minimum distance: conjugate gradients separate overlapping atoms",
            "a relaxation ends at forces below 0.01 eV/A or after 10,000 steps",
            "targets are ignored; a liquid at its temperature has another structure than a minimum of the energy",
            "time: processor seconds of one core per structure",
        ),
    )

    def dependencies(self) -> dict[str, Any]:
        return {
            "engine": self.dataset.definition.engine(),
            "force_ev_per_a": RELAXED,
            "steps": RELAXATION_STEPS,
            "structures": self.dataset.content_hash,
        }

    def jobs(self, count: int, seed: int) -> Sequence[_Packing]:
        train = self.dataset.indices("train")
        jobs = []
        for index in range(count):
            atoms = self.dataset.atoms(int(train[index * len(train) // count % len(train)]))
            jobs.append(
                _Packing(
                    symbols=tuple(atoms.get_chemical_symbols()), cell=atoms.cell.array, seed=seed, index=index
                )
            )
        return jobs

    @staticmethod
    def work(definition: DatasetDefinition, job: _Packing) -> list[Atoms]:
        """One structure; AmsbenchError if no random packing relaxes to finite positions."""
        from ase import Atoms

        potential = definition.potential
        assert potential is not None

        def relaxed(seed: int) -> list[Atoms]:
            fractions = np.random.default_rng(seed).uniform(size=(len(job.symbols), 3))
            atoms = Atoms(job.symbols, scaled_positions=fractions, cell=job.cell, pbc=True)
            with molecular_dynamics(atoms, potential, time_step=TIME_STEP) as dynamics:
                dynamics.minimise(force=RELAXED, max_steps=RELAXATION_STEPS)
                return [dynamics.snapshot()]

        return _first_usable(job.seed, job.index, relaxed)
