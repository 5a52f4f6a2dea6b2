"""The dataset ``asi``: silicon at 2500 K under the Stillinger-Weber potential.

The paper calls it amorphous silicon; at 2500 K and zero pressure this potential is far above its melting
point (1691 K), so the structures are snapshots of an equilibrated liquid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...metrics.potentials.potential import STILLINGER_WEBER_SILICON, Potential
from ..interface.evaluation_plan import EvaluationPlan, structural_plan
from .definition import DatasetDefinition, Property, Recipe, SimulationFailed
from .molecular_dynamics import molecular_dynamics

if TYPE_CHECKING:
    from ase import Atoms

SAMPLE_TEMPERATURE = 2500.0
"""Temperature of the snapshots, K."""
MELT_TEMPERATURE = 3000.0
"""Temperature at which the crystal is melted, K."""
TIME_STEP = 0.003
"""Time step, ps; the energy drifts by 0.14 meV per atom in 20 ps."""
LIQUID_DENSITY = 0.0517
"""Number density of the liquid at 2500 K and zero pressure, and of the starting crystal, A^-3."""
FIRST_PEAK = 2.58
"""Position of the first peak of the radial distribution function, A."""
MEMORY_LOSS = 5.0
"""Smallest mean squared displacement of a melt that is independent of the crystal, in squared neighbour distances."""

DURATIONS: dict[Recipe, dict[str, float]] = {
    "paper": {"heat": 200.0, "melt": 300.0, "cool": 500.0, "hold": 300.0},
    "reduced": {"heat": 10.0, "melt": 20.0, "cool": 20.0, "hold": 20.0},
}
"""Durations of the four stages, ps."""
SNAPSHOTS: dict[Recipe, int] = {"paper": 1, "reduced": 80}
SNAPSHOT_SPACING = 1.0
"""Time between snapshots, ps, after which the coherent intermediate scattering function has decayed."""

PAPER_STEPS = (1, 2, 3, 4, 5, 10, 25, 50, 100, 250)
ASI_PLAN_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "quick": (64, (1, 2, 5, 10, 25)),
    "standard": (256, (1, 2, 3, 4, 5, 10, 25)),
    "paper": (10_000, PAPER_STEPS),
}
"""Structures and step counts of each protocol."""


class AmorphousSilicon(DatasetDefinition):
    """256 atoms of liquid silicon, several snapshots per independent melt."""

    name: ClassVar[str] = "asi"
    title: ClassVar[str] = "liquid silicon at 2500 K (the paper's a-Si), 256 atoms, Stillinger-Weber"
    elements: ClassVar[tuple[str, ...]] = ("Si",)
    ghost_density: ClassVar[float | None] = None
    properties: ClassVar[tuple[Property, ...]] = ()
    potential: ClassVar[Potential | None] = STILLINGER_WEBER_SILICON
    sample_temperature: ClassVar[float | None] = SAMPLE_TEMPERATURE
    split_fractions: ClassVar[tuple[float, float, float]] = (0.75, 0.08, 0.17)

    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        """Settings of: crystal, 2500 to 3000 K, 3000 K, cooling to 2500 K, 2500 K, snapshots, at zero pressure."""
        return {
            "atoms": 256,
            # diamond cubes have 8 k^3 atoms and fcc cubes 4 k^3, of which one is 256; the melt does not depend on it
            "start": "4 x 4 x 4 face-centred cubic cells at the density of the liquid",
            "ensemble": "NPT, isotropic (cubic cell), zero pressure, Nose-Hoover",
            "time_step_ps": TIME_STEP,
            "sample_temperature_k": SAMPLE_TEMPERATURE,
            "melt_temperature_k": MELT_TEMPERATURE,
            **{f"{stage}_ps": duration for stage, duration in DURATIONS[recipe].items()},
            "snapshots_per_melt": SNAPSHOTS[recipe],
            "snapshot_spacing_ps": SNAPSHOT_SPACING,
            "melt_displacement_at_least_a2": MEMORY_LOSS * FIRST_PEAK**2,
        }

    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """One structural plan: cells and atom counts of the training set, the paper's step counts."""
        return (structural_plan(protocol, 1, *ASI_PLAN_SIZES[protocol]),)

    def samples_per_simulation(self, recipe: Recipe) -> int:
        return SNAPSHOTS[recipe]

    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """``samples`` snapshots of one melt."""
        duration = DURATIONS[recipe]
        with molecular_dynamics(_crystal(), STILLINGER_WEBER_SILICON, time_step=TIME_STEP) as dynamics:
            dynamics.set_velocities(SAMPLE_TEMPERATURE, seed)
            dynamics.npt(SAMPLE_TEMPERATURE, MELT_TEMPERATURE, duration["heat"])
            dynamics.track_displacement()
            dynamics.npt(MELT_TEMPERATURE, MELT_TEMPERATURE, duration["melt"])
            _check_melted(dynamics.displacement())
            dynamics.npt(MELT_TEMPERATURE, SAMPLE_TEMPERATURE, duration["cool"])
            dynamics.npt(SAMPLE_TEMPERATURE, SAMPLE_TEMPERATURE, duration["hold"])
            return dynamics.npt_snapshots(SAMPLE_TEMPERATURE, samples, SNAPSHOT_SPACING)


def _crystal() -> Atoms:
    from ase.build import bulk

    edge = (4 / LIQUID_DENSITY) ** (1 / 3)
    return bulk("Si", "fcc", a=edge, cubic=True) * (4, 4, 4)


def _check_melted(displacement: float) -> None:
    needed = MEMORY_LOSS * FIRST_PEAK**2
    if not np.isfinite(displacement) or displacement < needed:
        raise SimulationFailed(
            f"the melt depends on its crystal: mean squared displacement {displacement:.1f} A^2, needed {needed:.1f}"
        )
