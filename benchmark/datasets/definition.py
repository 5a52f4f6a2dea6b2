"""The contract of a dataset: what it simulates and measures, and which comparisons it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...errors import AmsbenchError
from ...metrics.potentials.lammps_calculator import energy_per_atom
from ...metrics.potentials.potential import EvaluationFailed, Potential
from ..interface.evaluation_plan import PROTOCOLS, EvaluationPlan

if TYPE_CHECKING:
    from ase import Atoms

    from ..interface.evaluation_plan import EvaluationPlan


def plans_of(definition: DatasetDefinition, protocol: str) -> tuple[EvaluationPlan, ...]:
    """The comparisons that a dataset makes under a protocol; AmsbenchError for an unknown one."""
    if protocol not in PROTOCOLS:
        raise AmsbenchError(f"unknown protocol '{protocol}'; known: {', '.join(PROTOCOLS)}")
    return tuple(definition.evaluation_plans(protocol))


Split = Literal["train", "validation", "test"]


SPLITS: tuple[Split, ...] = ("train", "validation", "test")


Recipe = Literal["paper", "reduced"]


class SimulationFailed(Exception):
    """A simulation did not give a usable sample (lost atoms, no convergence); the build retries a new seed."""


@dataclass(frozen=True, kw_only=True)
class Property:
    """A scalar label of a structure, named and measured in the unit that the leaderboards print."""

    name: str
    unit: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Properties measured on one structure; what could not be measured has a reason instead of a value."""

    values: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class DatasetDefinition(ABC):
    """A dataset plug-in: how samples are simulated and how their properties are measured.

    Registered under the entry-point group ``amsbench.datasets``; instances hold no state.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for ``amsbench datasets``, saying what the material really is."""
    elements: ClassVar[tuple[str, ...]]
    """Chemical symbols, in the order of the one-hot element embedding."""
    ghost_density: ClassVar[float | None]
    """Atoms plus ghosts per A^3 (Definition 2 of the paper), or None where every cell keeps its atom count."""
    formal_charges: ClassVar[Mapping[str, int] | None] = None
    """e, by chemical symbol; where given, how far structures are from neutral and from the compositions of the training
    set is reported."""
    properties: ClassVar[tuple[Property, ...]]
    split_fractions: ClassVar[tuple[float, float, float]] = (0.8, 0.08, 0.12)
    """Fractions of the simulations assigned to train, validation and test; all samples of one simulation (melt) are in
    the same split."""
    design_properties: ClassVar[tuple[str, ...]] = ()
    """The properties that the paper's conditional models are trained on and asked for."""
    potential: ClassVar[Potential | None] = None
    """What the simulations and the energies are made with."""

    @abstractmethod
    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        """The simulation protocol as plain JSON data (times in ps, temperatures in K), stored with the file."""

    def engine(self) -> dict[str, Any]:
        """What computes samples and labels (potential with its hash, LAMMPS version), stored with the file."""
        return {} if self.potential is None else self.potential.provenance()

    @abstractmethod
    def samples_per_simulation(self, recipe: Recipe) -> int:
        """How many samples one independent simulation (melt) yields at most."""

    @abstractmethod
    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """Run one independent simulation; everything random in it comes from ``seed``.

        Returns up to ``samples`` structures with positions in angstrom and ``pbc`` set.
        Raises SimulationFailed when the run is unusable.
        """

    def definition_for(self, index: int) -> DatasetDefinition:
        """What makes the simulation of this number, where not all of them are made alike."""
        return self

    @abstractmethod
    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """The comparisons of protocol ``quick``, ``standard`` or ``paper``."""

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """Measure the named properties (all by default) of one structure, labels and generated alike."""
        return Measurement()

    def energy(self, atoms: Atoms) -> tuple[float, float]:
        """Energy per atom (eV) and largest force (eV/A) under the potential that made the data; EvaluationFailed for
        structures without a usable energy, and where there is no such potential."""
        if self.potential is None:
            raise EvaluationFailed("no potential made these data")
        return energy_per_atom(self.potential, atoms)

    def property_named(self, name: str) -> Property:
        """The property called ``name``; AmsbenchError with the known names if there is none."""
        for item in self.properties:
            if item.name == name:
                return item
        known = ", ".join(item.name for item in self.properties) or "none"
        raise AmsbenchError(f"dataset '{self.name}' has no property '{name}'; it has: {known}")
