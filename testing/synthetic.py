"""Synthetic data for tests: lattices with jitter, with closed forms of properties and energies, and pairs of atoms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..benchmark.datasets.dataset import Dataset
from ..benchmark.datasets.definition import DatasetDefinition, Measurement, Property, Recipe
from ..benchmark.datasets.storage import dataset_in_memory, encode_structures
from ..benchmark.interface.evaluation_plan import EvaluationPlan, inverse_design_plans, structural_plan
from ..errors import AmsbenchError
from ..metrics.neighbours.neighbour_list import neighbour_list

if TYPE_CHECKING:
    from ase import Atoms

SPACING = (2.25, 2.35)
"""Smallest and largest lattice spacing, angstrom; uniformly distributed over structures."""
JITTER = 0.08
"""Standard deviation of the displacement of an atom from its site along each axis, angstrom."""
SHEAR = 0.05
"""Largest off-diagonal element of a cell over its edge, so that the cells are not cubes."""
LEAST_FILLING = 0.8
"""Smallest fraction of occupied sites."""
CONTACT, STIFFNESS = 2.0, 1.0
"""Contact distance (A) and stiffness (eV/A^2) of the energy STIFFNESS (CONTACT - r)^2 of pairs with r < CONTACT."""

PROPERTIES = (
    Property(name="number_density", unit="1/nm^3", description="atoms per volume"),
    Property(name="first_fraction", unit="%", description="atoms of the first element per hundred atoms"),
)

SYNTHETIC_PLAN_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "quick": (4, (1, 2)),
    "standard": (8, (1, 2, 5)),
    "paper": (16, (1, 10)),
}
"""Structures and step counts of each protocol, small enough for tests."""


class SyntheticGlass(DatasetDefinition):
    """Synthetic dataset of atoms near the sites of a simple cubic lattice, in slightly skewed cells.

    elements, ghost_density, formal_charges: as of any definition. With charges structures consist of neutral formula
        units; only the charge of the last element may be negative. Without charges species are independent
    properties: names of PROPERTIES, by default all, without the fraction for a single element
    cell: approximate edge of the cells, angstrom
    """

    name: ClassVar[str] = "synthetic"
    title: ClassVar[str] = "lattices with jitter, for tests"
    split_fractions: ClassVar[tuple[float, float, float]] = (0.7, 0.15, 0.15)

    def __init__(
        self,
        elements: Sequence[str] = ("Si", "O"),
        *,
        ghost_density: float | None = 0.11,
        formal_charges: Mapping[str, int] | None = None,
        properties: Sequence[str] | None = None,
        cell: float = 9.2,
    ) -> None:
        if properties is None:
            properties = ("number_density", "first_fraction") if len(elements) > 1 else ("number_density",)
        properties_by_name = {item.name: item for item in PROPERTIES}
        # instance attributes instead of the class variables of other definitions
        vars(self).update(
            elements=tuple(elements),
            ghost_density=ghost_density,
            formal_charges=formal_charges,
            properties=tuple(properties_by_name[name] for name in properties),
            design_properties=tuple(properties),
        )
        self.sites = max(2, round(2 * cell / sum(SPACING)))

    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        return {"sites": self.sites**3, "spacing_a": list(SPACING), "jitter_a": JITTER, "shear": SHEAR}

    def samples_per_simulation(self, recipe: Recipe) -> int:
        return 1

    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """Independent structures with randomly distributed empty sites."""
        from ase import Atoms

        random = np.random.default_rng(seed)
        lattice = np.array(list(product(range(self.sites), repeat=3))) / self.sites
        structures = []
        for _ in range(samples):
            edge = self.sites * random.uniform(*SPACING)
            cell = edge * (np.eye(3) + np.triu(random.uniform(-SHEAR, SHEAR, (3, 3)), 1))
            species = self._drawn_species(random)
            taken = random.permutation(len(lattice))[: len(species)]
            positions = (lattice[taken] + random.random(3)) @ cell + random.normal(0, JITTER, (len(taken), 3))
            symbols = [self.elements[kind] for kind in species]
            structures.append(Atoms(symbols, positions=positions, cell=cell, pbc=True))
        return structures

    def _drawn_species(self, random: np.random.Generator) -> list[int]:
        """Species of the atoms of one structure, with a random composition and a random number of occupied sites."""
        units = [[kind] for kind in range(len(self.elements))]
        if self.formal_charges is not None:
            *cations, anion = (self.formal_charges[element] for element in self.elements)
            units = [
                [kind] * (-anion // math.gcd(charge, anion))
                + [len(cations)] * (charge // math.gcd(charge, anion))
                for kind, charge in enumerate(cations)
            ]
        shares = random.dirichlet(np.full(len(units), 2.0))
        room = round(random.uniform(LEAST_FILLING, 1.0) * self.sites**3)
        species: list[int] = []
        for unit in random.choice(len(units), room, p=shares):
            if len(species) + len(units[unit]) > room:
                break
            species += units[unit]
        return species

    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """A structural plan in the cells of the training set, and a plan in cubes for each design property."""
        count, steps = SYNTHETIC_PLAN_SIZES[protocol]
        structure = structural_plan(protocol, 1, count, steps)
        if self.ghost_density is None:
            return (structure,)
        targets = {"number_density": (70.0, 90.0), "first_fraction": (20.0, 60.0)}
        plan_targets = {name: {name: targets[name]} for name in self.design_properties}
        return (structure, *inverse_design_plans(protocol, 1, count, steps, 9.2, plan_targets))

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """Values of the named properties; failures for a structure without atoms."""
        requested = [item.name for item in self.properties] if names is None else names
        property_names = [self.property_named(name).name for name in requested]
        if len(atoms) == 0:
            return Measurement(failures=dict.fromkeys(property_names, "no atoms"))
        first = atoms.get_chemical_symbols().count(self.elements[0])
        values = {
            "number_density": 1000 * len(atoms) / atoms.get_volume(),
            "first_fraction": 100 * first / len(atoms),
        }
        return Measurement(values={name: float(values[name]) for name in property_names})

    def energy(self, atoms: Atoms) -> tuple[float, float]:
        """Energy per atom (eV) and largest force (eV/A) of soft spheres."""
        neighbours = neighbour_list(atoms.positions, atoms.cell.array[None], np.array([len(atoms)]), CONTACT)
        vectors = (
            atoms.positions[neighbours.receivers] - atoms.positions[neighbours.senders] - neighbours.shifts
        )
        distances = np.linalg.norm(vectors, axis=1)
        overlap = CONTACT - distances
        pushes = 2 * STIFFNESS * (overlap / np.maximum(distances, 1e-9))[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, neighbours.receivers, pushes)
        # each pair is counted twice, once from each atom
        energy = STIFFNESS * float((overlap**2).sum()) / 2
        return energy / len(atoms), float(np.linalg.norm(forces, axis=1).max())


PAIR_BOND = 1.6
"""Distance of the two atoms of a structure in ``pair_dataset``, angstrom."""


def pair_dataset(samples: int, *, cell: float, seed: int = 0) -> Dataset:
    """Structures of two silicon atoms at a distance of PAIR_BOND in a cubic cell of edge ``cell``, angstrom."""
    from ase import Atoms

    random = np.random.default_rng(seed)
    definition = SyntheticGlass(("Si",), ghost_density=None, properties=())
    structures = []
    for _ in range(samples):
        direction = random.normal(size=3)
        bond = PAIR_BOND * direction / np.linalg.norm(direction)
        first = cell * random.random(3)
        atoms = Atoms("Si2", positions=[first, first + bond], cell=np.eye(3) * cell, pbc=True)
        atoms.wrap()
        structures.append(atoms)
    arrays = encode_structures(structures, definition.elements)
    arrays |= {"properties": np.zeros((samples, 0)), "groups": np.arange(samples)}
    provenance = {"dataset": "pairs", "recipe": "reduced", "seed": seed}
    return dataset_in_memory(definition, arrays, provenance, "pair_dataset()")


def synthetic_dataset(
    samples: int = 24,
    *,
    elements: Sequence[str] = ("Si", "O"),
    ghost_density: float | None = 0.11,
    formal_charges: Mapping[str, int] | None = None,
    properties: Sequence[str] | None = None,
    cell: float = 9.2,
    seed: int = 0,
) -> Dataset:
    """Dataset of ``SyntheticGlass``, made in a few milliseconds, as if loaded from a file.

    The arguments other than ``samples`` and ``seed`` are those of ``SyntheticGlass``. With 8 samples or more no split
    is empty, so that the dataset can be used for training and as reference. Its labels are those of ``measure``, to
    rounding.
    """
    definition = SyntheticGlass(
        elements,
        ghost_density=ghost_density,
        formal_charges=formal_charges,
        properties=properties,
        cell=cell,
    )
    if samples < 1:
        raise AmsbenchError(f"a synthetic dataset cannot have {samples} samples; give 1 or more")
    structures = definition.simulate("reduced", seed, samples)
    arrays = encode_structures(structures, definition.elements)
    labels = [list(definition.measure(atoms).values.values()) for atoms in structures]
    arrays["properties"] = np.array(labels, dtype=np.float64).reshape(samples, len(definition.properties))
    arrays["groups"] = np.arange(samples)
    provenance = {
        "dataset": "synthetic",
        "recipe": "reduced",
        "seed": seed,
        "protocol": definition.simulation_recipe("reduced"),
    }
    return dataset_in_memory(definition, arrays, provenance, "synthetic_dataset()")
