"""The dataset ``asio2``: silica glass under the Tersoff potential of Munetoh, quenched at once from its melt.

These glasses are defective by nature of the potential and the quench (about 71 % of Si are four-fold bonded).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...metrics.descriptors import has_overlap
from ...metrics.potentials.potential import TERSOFF_SILICA, Potential
from ...metrics.rings import guttman_rings
from ..interface.evaluation_plan import EvaluationPlan, inverse_design_plans
from .definition import DatasetDefinition, Measurement, Property, Recipe, SimulationFailed
from .elastic_moduli import STRAINS, failed, moduli
from .molecular_dynamics import molecular_dynamics, random_packing

if TYPE_CHECKING:
    from ase import Atoms

FORMULA_UNITS = (27, 83)
"""Fewest and most SiO2 units: 81 to 249 atoms, the multiples of three between the paper's 80 and 250."""
VOLUME_FACTOR = 4.0
"""Volume of the starting cube over the volume of all atoms as spheres of their covalent radii."""
TIME_STEP = 0.0005
"""Time step of the melt, ps; at 3500 K the energy drifts by 50 meV per atom and ps with a step of 1 fs."""
MELT_TEMPERATURE = 3500.0
"""Temperature from which the melt is quenched, K."""
HOT_TEMPERATURE = 5000.0
"""Initial temperature of the reduced recipe, K; diffusion is ten times faster than at 3500 K."""
COLD_TIME_STEP: dict[Recipe, float] = {"paper": TIME_STEP, "reduced": 0.001}
"""Time step at the temperature of the sample, ps."""
SAMPLE_TEMPERATURE = 300.0
"""Temperature of the sample, K."""
QUENCH_FORCE = 0.01
"""Largest force at the end of the quench, which is a minimisation, eV/A."""
QUENCH_STEPS = 5_000
"""Largest number of minimisation steps; remaining forces are small against those of thermal motion at 300 K."""
START_STEPS = 500
"""Minimisation steps of the random packing, enough for stable first steps of dynamics."""
LEAST_DENSITY = 0.03
"""Smallest number density of a sample, A^-3, half of that of the glass; a less dense sample has evaporated."""

MELT: dict[Recipe, tuple[tuple[float, float, float], ...]] = {
    "paper": ((MELT_TEMPERATURE, MELT_TEMPERATURE, 2000.0),),
    "reduced": (
        (HOT_TEMPERATURE, HOT_TEMPERATURE, 10.0),
        (HOT_TEMPERATURE, MELT_TEMPERATURE, 10.0),
        (MELT_TEMPERATURE, MELT_TEMPERATURE, 10.0),
    ),
}
"""Stages of the melt: first and last temperature (K), duration (ps)."""
ANNEAL = 10.0
"""Time at the temperature of the sample after the quench, ps."""

_Plan = tuple[int, tuple[int, ...], float, dict[str, tuple[float, float]]]
_PAPER_RANGE = {"shear_modulus": (10.0, 50.0), "ring_size": (4.0, 6.0)}
_TRAINING_RANGE = {"shear_modulus": (18.0, 29.0), "ring_size": (4.65, 5.45)}
ASIO2_PLAN_SIZES: dict[str, _Plan] = {
    "quick": (16, (1, 5, 25), 14.0, _TRAINING_RANGE),
    "standard": (64, (1, 2, 5, 10, 25, 50), 14.0, _TRAINING_RANGE),
    "wide": (64, (1, 5, 25), 14.0, _PAPER_RANGE),
    "paper": (
        2_000,
        (1, 5, 10, 25, 50, 100, 250),
        18.0,
        _PAPER_RANGE,
    ),
}
"""Structures, step counts, edge of the cubes (A), first and last target (GPa, Si atoms) of each protocol.

The paper's targets lie far outside the range of the labels. Those of quick and standard go from the 5th to the 95th
percentile of the training glasses, where targets can be met; their cubes have the size of the training cells.
"""


class AmorphousSilica(DatasetDefinition):
    """SiO2 glasses of 81 to 249 atoms, one per melt, with shear modulus and ring size."""

    name: ClassVar[str] = "asio2"
    title: ClassVar[str] = "silica glass, 81 to 249 atoms, Tersoff (Munetoh), instant quench from 3500 K"
    elements: ClassVar[tuple[str, ...]] = ("Si", "O")
    ghost_density: ClassVar[float | None] = 0.11
    properties: ClassVar[tuple[Property, ...]] = (
        Property(
            name="shear_modulus", unit="GPa", description="(C44 + C55 + C66) / 3 of the relaxed structure"
        ),
        Property(
            name="youngs_modulus",
            unit="GPa",
            description="(C11 - C12)(C11 + 2 C12) / (C11 + C12), C11 and C12 averaged over the axes",
        ),
        Property(
            name="ring_size", unit="Si atoms", description="mean over the unique Guttman rings, in Si atoms"
        ),
    )
    design_properties: ClassVar[tuple[str, ...]] = ("shear_modulus", "ring_size")
    potential: ClassVar[Potential | None] = TERSOFF_SILICA
    split_fractions: ClassVar[tuple[float, float, float]] = (0.8, 0.08, 0.12)

    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        """Settings of: random packing, minimisation, melt, minimisation (quench), 300 K, where the sample is taken."""
        return {
            "atoms": [3 * units for units in FORMULA_UNITS],
            "start": "random positions without overlap of covalent spheres, in a cube",
            "start_volume_over_covalent_spheres": VOLUME_FACTOR,
            "ensemble": "NPT, isotropic (cubic cell), zero pressure, Nose-Hoover",
            "time_step_ps": TIME_STEP,
            "anneal_time_step_ps": COLD_TIME_STEP[recipe],
            "melt_from_k_to_k_for_ps": [list(stage) for stage in MELT[recipe]],
            "quench": f"conjugate gradients in the cell of the melt to {QUENCH_FORCE} eV/A",
            "sample_temperature_k": SAMPLE_TEMPERATURE,
            "anneal_ps": ANNEAL,
        }

    def wide_plans(self) -> Sequence[EvaluationPlan]:
        """The paper's targets at the sizes of ``standard``."""
        return self.evaluation_plans("wide")

    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """One plan of inverse design per design property."""
        count, steps, cube, targets = ASIO2_PLAN_SIZES[protocol]
        return inverse_design_plans(
            protocol, 2, count, steps, cube, {name: {name: targets[name]} for name in self.design_properties}
        )

    def samples_per_simulation(self, recipe: Recipe) -> int:
        return 1

    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """One glass of a random size."""
        random = np.random.default_rng(seed)
        units = int(random.integers(FORMULA_UNITS[0], FORMULA_UNITS[1] + 1))
        start = random_packing(["Si"] * units + ["O"] * 2 * units, VOLUME_FACTOR, random)
        with molecular_dynamics(start, TERSOFF_SILICA, time_step=TIME_STEP) as dynamics:
            dynamics.minimise(force=QUENCH_FORCE, max_steps=START_STEPS)
            dynamics.set_velocities(MELT[recipe][0][0], seed)
            for first, last, duration in MELT[recipe]:
                dynamics.npt(first, last, duration)
            dynamics.minimise(force=QUENCH_FORCE, max_steps=QUENCH_STEPS)
            dynamics.set_time_step(COLD_TIME_STEP[recipe])
            dynamics.set_velocities(SAMPLE_TEMPERATURE, seed)
            dynamics.npt(SAMPLE_TEMPERATURE, SAMPLE_TEMPERATURE, ANNEAL)
            glass = dynamics.snapshot()
        density = len(glass) / glass.get_volume()
        if density < LEAST_DENSITY:
            raise SimulationFailed(f"the melt evaporated: {density:.3f} atoms per A^3")
        return [glass]

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """Ring size of the structure as it is, moduli of the relaxed structure.

        Every property gets a value or the reason of its failure; structures with overlapping atoms have neither rings
        nor moduli.
        """
        requested = [item.name for item in self.properties] if names is None else names
        properties = {self.property_named(name).name for name in requested}
        if len(atoms) == 0:
            return failed(properties, "no atoms")
        if has_overlap(atoms):
            return failed(properties, "atoms overlap")
        rings = _ring_size(atoms) if "ring_size" in properties else Measurement()
        elastic_names = properties & set(STRAINS)
        elastic = moduli(atoms, TERSOFF_SILICA, elastic_names) if elastic_names else Measurement()
        return Measurement(
            values={**rings.values, **elastic.values},
            failures={**rings.failures, **elastic.failures},
            relaxed=elastic.relaxed,
        )


def _ring_size(atoms: Atoms) -> Measurement:
    rings = guttman_rings(atoms)
    if rings.mean_size is None:
        return failed(["ring_size"], rings.failure or "no rings")
    return Measurement(values={"ring_size": rings.mean_size})
