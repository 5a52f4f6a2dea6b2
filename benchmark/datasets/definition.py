"""Interface of datasets: simulation, measurement of properties, and evaluation plans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...errors import AmsbenchError
from ...metrics.potentials.lammps_calculator import LammpsCalculator, energy_per_atom
from ...metrics.potentials.potential import EvaluationFailed, Potential
from ..interface.evaluation_plan import PROTOCOLS, WIDE, EvaluationPlan
from ..registry import near_matches

if TYPE_CHECKING:
    from ase import Atoms

    from ...metrics.elasticity.finite_strain import Relaxation
    from ..interface.evaluation_plan import EvaluationPlan


def plans_of(
    definition: DatasetDefinition,
    protocol: str,
    *,
    names: Sequence[str] | None = None,
    steps: tuple[int, ...] | None = None,
    count: int | None = None,
) -> tuple[EvaluationPlan, ...]:
    """Evaluation plans of a dataset under a protocol: those of these names, with other step counts and another count.

    None leaves each as it is. AmsbenchError for an unknown protocol, one without plans, no names and unknown ones.
    """
    plans = _all_plans(definition, protocol)
    known = [plan.name for plan in plans]
    if names is not None and not names:
        raise AmsbenchError(f"no plan was named; choose from {', '.join(known)}")
    for name in names or ():
        if name not in known:
            raise AmsbenchError(f"unknown plan '{name}'; {near_matches(name, known)}")
    return tuple(
        plan.changed(steps=steps, count=count) for plan in plans if names is None or plan.name in names
    )


def _all_plans(definition: DatasetDefinition, protocol: str) -> tuple[EvaluationPlan, ...]:
    if protocol not in (*PROTOCOLS, WIDE):
        raise AmsbenchError(f"unknown protocol '{protocol}'; known: {', '.join((*PROTOCOLS, WIDE))}")
    if protocol != WIDE:
        return tuple(definition.evaluation_plans(protocol))
    plans = tuple(definition.wide_plans())
    if not plans:
        raise AmsbenchError(
            f"dataset '{definition.name}' has no plans under the protocol '{WIDE}', which are those of targets far "
            f"outside the training data; give one of: {', '.join(PROTOCOLS)}"
        )
    return plans


Split = Literal["train", "validation", "test"]


SPLITS: tuple[Split, ...] = ("train", "validation", "test")


Recipe = Literal["paper", "reduced"]


class SimulationFailed(Exception):
    """Raised if a simulation gives no usable sample (lost atoms, no convergence); builds try a new seed."""


@dataclass(frozen=True, kw_only=True)
class Property:
    """A scalar property of a structure; ``unit`` is the unit of labels, targets and leaderboards."""

    name: str
    unit: str
    description: str


@dataclass(frozen=True, kw_only=True, eq=False)
class RelaxedStructure:
    """A structure at a minimum of the dataset's potential.

    atoms: relaxed positions and cell
    energy_per_atom: eV
    """

    atoms: Atoms
    energy_per_atom: float


@dataclass(frozen=True, kw_only=True)
class RelaxationFailure:
    """Result of a relaxation without a minimum; ``reason`` is a message for people."""

    reason: str


def relaxed_structure(relaxation: Relaxation) -> RelaxedStructure:
    """The minimum at the end of a relaxation; EvaluationFailed if it did not converge."""
    if not relaxation.converged:
        raise EvaluationFailed("relaxation did not converge")
    energy = relaxation.energy / len(relaxation.atoms)
    return RelaxedStructure(atoms=relaxation.atoms, energy_per_atom=energy)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Measured properties of one structure: values by name, and reasons for properties without a value.

    relaxed: the structure at the minimum where properties of the relaxed structure were measured, or the failure of
        its relaxation; None if nothing was relaxed
    """

    values: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    relaxed: RelaxedStructure | RelaxationFailure | None = None


class DatasetDefinition(ABC):
    """Base class of datasets: how samples are simulated and how their properties are measured.

    Registered under the entry-point group ``amsbench.datasets``. Instances have no state.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """Material, potential and preparation in one line, for ``amsbench datasets``."""
    elements: ClassVar[tuple[str, ...]]
    """Chemical symbols, in the order of the one-hot element embedding."""
    ghost_density: ClassVar[float | None]
    """Atoms plus ghosts per A^3 (Definition 2 of the paper), or None if every cell keeps its atom count."""
    formal_charges: ClassVar[Mapping[str, int] | None] = None
    """Charges (e) by chemical symbol; if given, evaluations report net charges and the distance of compositions from
    those of the training set."""
    properties: ClassVar[tuple[Property, ...]]
    split_fractions: ClassVar[tuple[float, float, float]] = (0.8, 0.08, 0.12)
    """Fractions of the simulations assigned to train, validation and test; all samples of one simulation (melt) are in
    the same split."""
    design_properties: ClassVar[tuple[str, ...]] = ()
    """Properties that conditional models are trained on and that are targets of the evaluation plans."""
    potential: ClassVar[Potential | None] = None
    """Interatomic potential of the simulations and energies."""
    sample_temperature: ClassVar[float | None] = None
    """Temperature (K) at which the samples are Boltzmann samples of ``potential``, given their cells; None for others,
    such as quenched glasses. Forces over kT are then scores of the data, which a training may use."""

    @abstractmethod
    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        """Settings of the simulation as plain JSON data (times in ps, temperatures in K), stored in the file."""

    def engine(self) -> dict[str, Any]:
        """Potential with its hash and LAMMPS version, stored in the file."""
        return {} if self.potential is None else self.potential.provenance()

    @abstractmethod
    def samples_per_simulation(self, recipe: Recipe) -> int:
        """Largest number of samples of one independent simulation (melt)."""

    @abstractmethod
    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """Up to ``samples`` periodic structures (angstrom) of one independent simulation.

        All random numbers follow from ``seed``. Raises SimulationFailed if the simulation is unusable.
        """

    def definition_for(self, index: int) -> DatasetDefinition:
        """Definition used for simulation ``index``; overridden if simulations differ, for example in composition."""
        return self

    @abstractmethod
    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """Evaluation plans of the protocol ``quick``, ``standard`` or ``paper``."""

    def wide_plans(self) -> Sequence[EvaluationPlan]:
        """Evaluation plans of the protocol ``wide``: targets far outside the training data; by default none."""
        return ()

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """Named properties (by default all) of one structure; labels and generated structures are measured alike."""
        return Measurement()

    def relax(self, atoms: Atoms) -> RelaxedStructure:
        """The structure with positions and cell relaxed to a minimum of the dataset's potential at zero pressure.

        Raises EvaluationFailed, with the reason, if the relaxation does not end, and if the dataset has no potential.
        """
        if self.potential is None:
            raise EvaluationFailed("no potential made these data")
        # imported here, because ASE's optimizers take a second to import and listing the datasets does not need them
        from ...metrics.elasticity.finite_strain import relax

        with LammpsCalculator(self.potential) as calculator:
            return relaxed_structure(relax(atoms, calculator))

    def energy(self, atoms: Atoms) -> tuple[float, float]:
        """Energy per atom (eV) and largest force (eV/A) under the dataset's potential.

        Raises EvaluationFailed for structures without a usable energy, and if the dataset has no potential.
        """
        if self.potential is None:
            raise EvaluationFailed("no potential made these data")
        return energy_per_atom(self.potential, atoms)

    def property_named(self, name: str) -> Property:
        """The property called ``name``; AmsbenchError if there is none."""
        for item in self.properties:
            if item.name == name:
                return item
        names = ", ".join(item.name for item in self.properties) or "none"
        raise AmsbenchError(f"dataset '{self.name}' has no property '{name}'; it has: {names}")
