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
"""Angstrom between the sites of a lattice, uniform from structure to structure."""
JITTER = 0.08
"""Standard deviation of an atom from its site along each axis, angstrom."""
SHEAR = 0.05
"""Largest off-diagonal element of a cell over its edge: no cell is a cube, as no cell need be."""
LEAST_FILLING = 0.8
"""Smallest share of the sites that are taken."""
CONTACT, STIFFNESS = 2.0, 1.0
"""Angstrom and eV / A^2 of the energy, STIFFNESS (CONTACT - r)^2 of every pair of atoms closer than CONTACT."""

PROPERTIES = (
    Property(name="number_density", unit="1/nm^3", description="atoms per volume"),
    Property(name="first_fraction", unit="%", description="atoms of the first element per hundred atoms"),
)

SYNTHETIC_PLAN_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "quick": (4, (1, 2)),
    "standard": (8, (1, 2, 5)),
    "paper": (16, (1, 10)),
}
"""Structures and step counts of each protocol: as few as show that everything works."""


class SyntheticGlass(DatasetDefinition):
    """Atoms near the sites of a simple cubic lattice, in a cell that is a little skewed.

    elements, ghost_density, formal_charges: as of any definition. With charges, of which the last element's must be the
        only negative one, structures are made of neutral oxides, and otherwise of single atoms
    properties: names of PROPERTIES; of one element the fraction is always 100 %, so it is none by default
    cell: about the edge of the cells, angstrom
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
        known = {item.name: item for item in PROPERTIES}
        # what other definitions have as class variables is this one's own
        vars(self).update(
            elements=tuple(elements),
            ghost_density=ghost_density,
            formal_charges=formal_charges,
            properties=tuple(known[name] for name in properties),
            design_properties=tuple(properties),
        )
        self.sites = max(2, round(2 * cell / sum(SPACING)))

    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        return {"sites": self.sites**3, "spacing_a": list(SPACING), "jitter_a": JITTER, "shear": SHEAR}

    def samples_per_simulation(self, recipe: Recipe) -> int:
        return 1

    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """Independent structures; the sites that stay empty are spread at random."""
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
        """Species of the atoms of one structure, as many as fit into its share of the sites, of its own composition."""
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
        """Structure in the cells of the training set, and in cubes each property on its own."""
        count, steps = SYNTHETIC_PLAN_SIZES[protocol]
        structure = structural_plan(protocol, 1, count, steps)
        if self.ghost_density is None:
            return (structure,)
        targets = {"number_density": (70.0, 90.0), "first_fraction": (20.0, 60.0)}
        asked = {name: {name: targets[name]} for name in self.design_properties}
        return (structure, *inverse_design_plans(protocol, 1, count, steps, 9.2, asked))

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """Both properties have a value in every structure that has atoms."""
        asked = [item.name for item in self.properties] if names is None else names
        wanted = [self.property_named(name).name for name in asked]
        if len(atoms) == 0:
            return Measurement(failures=dict.fromkeys(wanted, "no atoms"))
        first = atoms.get_chemical_symbols().count(self.elements[0])
        values = {
            "number_density": 1000 * len(atoms) / atoms.get_volume(),
            "first_fraction": 100 * first / len(atoms),
        }
        return Measurement(values={name: float(values[name]) for name in wanted})

    def energy(self, atoms: Atoms) -> tuple[float, float]:
        """Soft spheres: energy per atom (eV) and largest force (eV/A)."""
        found = neighbour_list(atoms.positions, atoms.cell.array[None], np.array([len(atoms)]), CONTACT)
        vectors = atoms.positions[found.receivers] - atoms.positions[found.senders] - found.shifts
        distances = np.linalg.norm(vectors, axis=1)
        overlap = CONTACT - distances
        pushes = 2 * STIFFNESS * (overlap / np.maximum(distances, 1e-9))[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, found.receivers, pushes)
        # every pair is there twice, from either end
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
    """A dataset of ``SyntheticGlass`` in a few milliseconds, as if it came from a file.

    The arguments beside ``samples`` and ``seed`` are those of ``SyntheticGlass``. With enough samples that each split
    has some (8 or more) it can be trained on and compared with; ``measure`` gives its labels to rounding.
    """
    definition = SyntheticGlass(
        elements,
        ghost_density=ghost_density,
        formal_charges=formal_charges,
        properties=properties,
        cell=cell,
    )
    if samples < 1:
        raise AmsbenchError(f"{samples} samples were asked for; give 1 or more")
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
