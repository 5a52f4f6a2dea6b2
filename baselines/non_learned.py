"""Non-learned baselines: the simulation that made the data, and relaxed random positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..benchmark.datasets.definition import DatasetDefinition, Recipe, SimulationFailed
from ..benchmark.datasets.molecular_dynamics import molecular_dynamics
from ..benchmark.interface.method_card import MethodCard
from ..benchmark.runs.non_learned import NonLearnedBaseline
from ..errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms

RELAXATION_ATTEMPTS = 20
"""Seeds that are tried before a job fails; the time of all of them counts."""
APART = 1
"""Part of every seed, so that a baseline does not repeat the simulations of the dataset."""
RELAXED = 0.01
"""Largest force at the end of a relaxation, eV/A."""
RELAXATION_STEPS = 10_000
TIME_STEP = 0.001
"""ps; LAMMPS needs a time step also for a minimisation."""


def _first_usable(seed: int, index: int, make: Callable[[int], list[Atoms]]) -> list[Atoms]:
    """Structures that ``make`` gives for the first seed without SimulationFailed; AmsbenchError if all seeds fail.

    Seeds are in the range of LAMMPS.
    """
    reason = ""
    for attempt in range(RELAXATION_ATTEMPTS):
        state = np.random.SeedSequence((seed, index, attempt, APART)).generate_state(1)
        try:
            return make(int(state[0]) % 900_000_000 + 1)
        except SimulationFailed as failure:
            reason = str(failure)
    raise AmsbenchError(
        f"none of {RELAXATION_ATTEMPTS} seeds gave a usable structure; the last one: {reason}"
    )


@dataclass(frozen=True, kw_only=True)
class _Melt:
    recipe: Recipe
    seed: int
    index: int
    samples: int


class Simulation(NonLearnedBaseline):
    """The simulation that made the dataset, with other seeds: a lower bound of the error, and its cost.

    Snapshots of one melt share its time.
    """

    name = "simulation"
    title: ClassVar[str] = "the LAMMPS protocol of the dataset itself, run again"
    sampler: ClassVar[str] = "protocol"
    card: ClassVar[MethodCard | None] = MethodCard(
        reference="the dataset's own protocol (amsbench data info NAME --json)",
        declared=(
            "the recipe that the dataset's file was made with; what of it is shorter than in the paper is in the "
            "file's description",
            "targets are not asked for: in a table of inverse design it shows what structures have that nobody chose",
            "time: processor seconds of one core per structure, failed attempts included, shared by the snapshots of a "
            "melt",
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
        """The structures of one melt; AmsbenchError if no seed gives a usable one."""
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


class RandomRelax(NonLearnedBaseline):
    """Random positions in cells and with atoms of training structures, relaxed in the potential of the data."""

    name = "random-relax"
    title: ClassVar[str] = "random positions relaxed in the potential that made the data"
    sampler: ClassVar[str] = "relaxation"
    card: ClassVar[MethodCard | None] = MethodCard(
        reference="C. J. Pickard and R. J. Needs, Ab initio random structure searching, J. Phys.: Condens. Matter 23, "
        "053201 (2011)",
        kept=("uniformly random positions, relaxed to the next minimum of the energy",),
        declared=(
            "cells, atom counts and species are those of training structures; the cell stays as it is",
            "no shortest distance between the random positions: conjugate gradients part atoms that overlap",
            "forces below 0.01 eV/A, or 10,000 steps",
            "targets are not asked for; a liquid's structure at its temperature is not that of a minimum",
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
