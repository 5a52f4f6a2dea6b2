"""Built-in metrics of single structures: size, density, distances, composition, charge, energy, coordination."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import AmsbenchError
from .composition import net_charge
from .descriptors import GRAMS_PER_CM3, structure_facts
from .metric import Quantity, StructureMetric
from .potentials.potential import EvaluationFailed

if TYPE_CHECKING:
    from ase import Atoms

    from .metric import Material


class AtomCount(StructureMetric):
    """Number of atoms in the cell, without ghosts."""

    name = "atoms"
    title = "number of atoms"
    unit = ""
    rationale = (
        "With ghost atoms a model decides how many atoms a cell has; with a given cell this is the density."
    )
    evidence = "Counted; nothing is estimated."
    QUANTITIES: ClassVar = (Quantity(name="atoms", head="atoms", decimals=1),)

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        return self.QUANTITIES

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        return {"atoms": len(atoms)}


class MassDensity(StructureMetric):
    """Mass density in g/cm^3 with its standard deviation over structures."""

    name = "density"
    title = "mass density"
    unit = "g/cm³"
    rationale = (
        "Elastic moduli follow the density, so that a target modulus can be met by a structure of the wrong density: "
        "the property is right and the material is not."
    )
    evidence = "Against the densities of silicon and quartz crystals (tests/metrics/test_descriptors.py)."
    QUANTITIES: ClassVar = (Quantity(name="density", head="density (g/cm³)", decimals=2, spread=True),)

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        return self.QUANTITIES

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        volume = abs(float(np.linalg.det(atoms.cell.array)))
        if volume == 0.0:
            raise AmsbenchError(f"a structure has a cell without volume, {atoms.cell.tolist()}; set its cell")
        return {"density": GRAMS_PER_CM3 * float(atoms.get_masses().sum()) / volume}


class ShortestDistance(StructureMetric):
    """Shortest distance between two atoms in Å, periodic images included."""

    name = "minimum_distance"
    title = "shortest distance between two atoms"
    unit = "Å"
    rationale = (
        "One pair of atoms that is too close makes a structure useless for simulation, and the averaged g(r) does not "
        "show it. The shortest bond of silica is 1.5 Å long."
    )
    evidence = "Against all images of random skewed cells by brute force (tests/metrics/test_descriptors.py)."
    QUANTITIES: ClassVar = (Quantity(name="minimum_distance", head="shortest distance (Å)", decimals=2),)

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        return self.QUANTITIES

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        (facts,) = structure_facts([atoms])
        distance = facts.minimum_distance
        return {"minimum_distance": float("nan") if distance is None else distance}


class ElementFractions(StructureMetric):
    """Fraction of each element among the atoms; no quantities for materials of one element."""

    name = "composition"
    title = "share of each element"
    unit = ""
    rationale = (
        "A property can be met by another composition than the data's, which is then another material."
    )
    evidence = "Counted; nothing is estimated."

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        if len(material.elements) < 2:
            return ()
        return tuple(
            Quantity(name=f"fraction_{symbol}", head=f"{symbol} (%)", factor=100, decimals=1)
            for symbol in material.elements
        )

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        if len(material.elements) < 2:
            return {}
        symbols = np.asarray(atoms.get_chemical_symbols(), dtype=np.str_)
        return {
            f"fraction_{symbol}": float(np.mean(symbols == symbol)) if len(symbols) else 0.0
            for symbol in material.elements
        }


class FormalCharge(StructureMetric):
    """Net formal charge in e; over a set, the share of neutral structures and the mean charge per atom."""

    name = "charge"
    title = "net formal charge"
    unit = "e"
    needs = ("formal charges",)
    rationale = (
        "An oxide glass is neutral. A structure with more cations than its oxygen balances cannot be made, and its "
        "moduli mean nothing."
    )
    evidence = "Counted from formal charges; the training structures are neutral without exception."
    QUANTITIES: ClassVar = (Quantity(name="charge", head="charge (e)", decimals=0),)

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        return self.QUANTITIES if material.formal_charges else ()

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        if not material.formal_charges:
            return {}
        return {"charge": net_charge(atoms, material.formal_charges)}

    def summary(self, values: Mapping[str, np.ndarray], material: Material) -> dict[str, float | None]:
        """``neutral``, the share of structures of charge 0; ``imbalance``, the mean of abs(charge) / atoms, e."""
        occupied = values["atoms"] > 0
        if not material.formal_charges or not occupied.any():
            return {}
        charge, atoms = values["charge"][occupied], values["atoms"][occupied]
        return {"neutral": float(np.mean(charge == 0)), "imbalance": float(np.mean(np.abs(charge) / atoms))}


class PotentialEnergy(StructureMetric):
    """Energy per atom (eV) and largest force on an atom (eV/Å) under the potential that made the data."""

    name = "energy"
    title = "energy per atom and largest force under the potential of the data"
    unit = "eV"
    needs = ("potential",)
    rationale = (
        "The potential is the judge that no model has seen in training: an unrelaxed structure lies above the data in "
        "energy and has forces of many eV/Å. Medians, since one overlap can dominate a mean."
    )
    evidence = (
        "Crystals at their published lattice energies, forces and stresses against finite differences "
        "(tests/metrics/potentials/test_potential.py)."
    )
    QUANTITIES: ClassVar = (
        Quantity(name="energy_per_atom", head="energy (eV/atom)", decimals=3, summary="median"),
        Quantity(name="largest_force", head="largest force (eV/Å)", decimals=2, summary="median"),
    )

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        return self.QUANTITIES

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        if len(atoms) == 0:
            raise EvaluationFailed("no atoms")
        energy, force = material.energy(atoms)
        return {"energy_per_atom": energy, "largest_force": force}


class Coordination(StructureMetric):
    """Mean number of neighbours by pair of elements, within 1.25 times the sum of their covalent radii."""

    name = "coordination"
    title = "mean coordination numbers"
    unit = ""
    rationale = (
        "The number that describes a glass network first: four oxygen neighbours of a silicon atom, two silicon "
        "neighbours of an oxygen atom. It shows broken bonds that g(r) averages away."
    )
    evidence = "Diamond and ideal cristobalite (tests/metrics/test_structure_metrics.py)."
    STRETCH: ClassVar = 1.25

    def quantities(self, material: Material) -> tuple[Quantity, ...]:
        return tuple(
            Quantity(name=f"coordination_{a}_{b}", head=f"{b} around {a}", decimals=2)
            for pair in combinations_with_replacement(material.elements, 2)
            for a, b in dict.fromkeys([pair, pair[::-1]])
        )

    def measure(self, atoms: Atoms, material: Material) -> dict[str, float]:
        from ase.data import atomic_numbers, covalent_radii

        radius = {symbol: covalent_radii[atomic_numbers[symbol]] for symbol in material.elements}
        cutoffs = {
            f"{a}-{b}": self.STRETCH * (radius[a] + radius[b])
            for a, b in combinations_with_replacement(material.elements, 2)
        }
        try:
            (facts,) = structure_facts([atoms], cutoffs=cutoffs)
        except AmsbenchError as error:
            raise EvaluationFailed(str(error)) from error
        return {
            f"coordination_{a}_{b}": float("nan") if mean is None else mean
            for pair in combinations_with_replacement(material.elements, 2)
            for a, b in dict.fromkeys([pair, pair[::-1]])
            for mean in [facts.mean_coordination(f"{a}-{b}")]
        }
