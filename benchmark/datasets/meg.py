"""The dataset ``meg``: oxide glasses of up to eleven elements under BMP-shrm, quenched from a melt near boiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...metrics.descriptors import has_overlap
from ...metrics.potentials.bmp_shrm import BMP_SHRM, COULOMB_CUTOFF
from ...metrics.potentials.potential import EvaluationFailed, Potential
from ..interface.evaluation_plan import EvaluationPlan, inverse_design_plans
from .definition import (
    DatasetDefinition,
    Measurement,
    Property,
    Recipe,
    RelaxedStructure,
    SimulationFailed,
    relaxed_structure,
)
from .elastic_moduli import STRAINS, failed, moduli_of, not_relaxed
from .meg_compositions import ELEMENTS, VALENCE, Composition, compositions, sampling_weights
from .molecular_dynamics import MolecularDynamics, molecular_dynamics, random_packing

if TYPE_CHECKING:
    from ase import Atoms

SIZE: dict[Recipe, int] = {"paper": 800, "reduced": 216}
"""Approximate number of atoms of a glass; the nearest neutral cell of whole atoms may differ by up to 15."""
VOLUME_FACTOR = 4.0
"""Volume of the starting cube over the volume of all atoms as spheres of their covalent radii."""
TIME_STEP = 0.002
"""Time step, ps."""
COUPLING = {"thermostat": 0.2, "barostat": 2.0, "pressure": 1.0}
"""Relaxation times of the Nose-Hoover thermostat and barostat (ps), pressure (bar)."""
START_FORCE, START_STEPS = 0.1, 500
"""Largest force (eV/A) and steps of the packing's minimisation, enough for stable first steps of dynamics."""

HEATING = (2200.0, 9000.0)
"""Range of temperatures of the search for evaporation, K."""
HEATING_TIME: dict[Recipe, float] = {"paper": 120.0, "reduced": 24.0}
"""Duration of the heating, ps."""
HEATING_POINTS = 68
"""Number of mean temperatures and pressures of the heating, one for every 100 K."""
SETTLING = 2.0
"""Time at the lowest temperature before the heating, and at the start of the melt, ps."""
ROOM = 2.0
"""Edge of the cell of the heating over the edge of the packing."""
MELT_SHARE = 0.75
"""Temperature of the melt over the temperature of evaporation."""
MELT: dict[Recipe, tuple[float, float]] = {"paper": (400.0, 800.0), "reduced": (10.0, 50.0)}
"""Shortest and longest duration of the melt, ps; it ends when every element has diffused."""
DIFFUSED = 3.0
"""Root mean square displacement that every element must reach in the melt, angstrom: about the distance of two
cations."""
QUENCH_RATE: dict[Recipe, float] = {"paper": 5.0, "reduced": 100.0}
"""Quench rate, K/ps."""
SAMPLE_TEMPERATURE = 300.0
"""Temperature of the sample, K."""
HOLD: dict[Recipe, float] = {"paper": 300.0, "reduced": 10.0}
"""Time at the temperature of the sample, ps."""
LEAST_DENSITY = 0.03
"""Smallest number density of a sample, A^-3, well below half of any glass; a less dense sample has evaporated."""

LITHIUM_RICH = 12.0
"""Lithium in percent of all atoms; only 132 of the 9,240 compositions have more."""
LITHIUM_RICH_SHARE: dict[Recipe, float] = {"paper": 132 / 9240, "reduced": 0.2}
"""Fraction of the glasses with these compositions; in the paper's recipe all compositions are equally likely."""

LITHIUM_GAP = (8.5, 12.5)
"""Range of lithium in percent of all atoms that hardly any composition has. It lies between the compositions with 30 %
and with 40 % of the cations."""
GAP_GLASSES = range(240, 272)
"""Numbers of the glasses of the reduced recipe that are spread evenly over that range."""
GAP_WIDTH = 0.5
"""Largest distance of a composition from the drawn lithium content, percent of all atoms."""

_Targets = dict[str, dict[str, tuple[float, float]]]
_TRAINING_RANGE: _Targets = {
    "youngs_modulus": {"youngs_modulus": (55.0, 95.0), "li_concentration": (15.0, 15.0)},
    "shear_modulus": {"shear_modulus": (18.0, 42.0)},
    "li_concentration": {"li_concentration": (0.0, 15.0)},
}
_PAPER: _Targets = {
    "youngs_modulus": {"youngs_modulus": (20.0, 160.0), "li_concentration": (15.0, 15.0)},
    "shear_modulus": {"shear_modulus": (10.0, 70.0)},
}
MEG_PLAN_SIZES: dict[str, tuple[int, tuple[int, ...], float, _Targets]] = {
    "quick": (8, (1, 5, 25), 14.0, _TRAINING_RANGE),
    "standard": (64, (1, 2, 5, 10, 25, 50), 14.0, _TRAINING_RANGE),
    "wide": (64, (1, 5, 25), 14.0, _PAPER),
    "paper": (2_000, (1, 5, 10, 25, 50, 100, 250), 23.0, _PAPER),
}
"""Structures, step counts, edge of the cubes (A), and first and last targets of each plan, by protocol."""


class MultiElementGlass(DatasetDefinition):
    """Glasses of Si, P, Al, Li, Be, K, Ca, Ti, Ba, Zn and O, one per melt, with moduli and lithium concentration."""

    name: ClassVar[str] = "meg"
    title: ClassVar[str] = "oxide glasses of up to eleven elements, BMP-shrm, melt-quench"
    elements: ClassVar[tuple[str, ...]] = ELEMENTS
    ghost_density: ClassVar[float | None] = 0.11
    formal_charges: ClassVar[Mapping[str, int] | None] = VALENCE
    properties: ClassVar[tuple[Property, ...]] = (
        Property(
            name="youngs_modulus",
            unit="GPa",
            description="(C11 - C12)(C11 + 2 C12) / (C11 + C12), C11 and C12 averaged over the axes",
        ),
        Property(
            name="shear_modulus", unit="GPa", description="(C44 + C55 + C66) / 3 of the relaxed structure"
        ),
        Property(name="li_concentration", unit="%", description="Li atoms per hundred atoms"),
    )
    design_properties: ClassVar[tuple[str, ...]] = ("youngs_modulus", "shear_modulus", "li_concentration")
    potential: ClassVar[Potential | None] = BMP_SHRM
    split_fractions: ClassVar[tuple[float, float, float]] = (0.8, 0.08, 0.12)

    def simulation_recipe(self, recipe: Recipe) -> dict[str, Any]:
        """Settings of: random packing, search for evaporation, melt below it, quench, 300 K; the last is the sample."""
        return {
            "atoms": SIZE[recipe],
            "compositions": len(_compositions()[0]),
            "lithium_rich_above_percent": LITHIUM_RICH,
            "lithium_rich_share": LITHIUM_RICH_SHARE[recipe],
            **_gap_protocol(recipe),
            "start": "random positions without overlap of covalent spheres, in a cube",
            "start_volume_over_covalent_spheres": VOLUME_FACTOR,
            "ensemble": "NPT, isotropic (cubic cell), Nose-Hoover",
            "time_step_ps": TIME_STEP,
            **COUPLING,
            "coulomb_cutoff_a": COULOMB_CUTOFF,
            "evaporation": {
                "heated_from_to_k": list(HEATING),
                "for_ps": HEATING_TIME[recipe],
                "room_times_edge": ROOM,
                "temperature": "kink of the two lines that fit pressure against temperature best",
            },
            "melt_over_evaporation_temperature": MELT_SHARE,
            "melt_ps_at_least_and_most": list(MELT[recipe]),
            "melt_until_every_element_moved_a": DIFFUSED,
            "quench_k_per_ps": QUENCH_RATE[recipe],
            "sample_temperature_k": SAMPLE_TEMPERATURE,
            "hold_ps": HOLD[recipe],
        }

    def wide_plans(self) -> Sequence[EvaluationPlan]:
        """The paper's targets at the sizes of ``standard``."""
        return self.evaluation_plans("wide")

    def evaluation_plans(self, protocol: str) -> Sequence[EvaluationPlan]:
        """Plans for Young's modulus at fixed lithium, as in the paper's Table 3, and for single properties."""
        return inverse_design_plans(protocol, 2, *MEG_PLAN_SIZES[protocol])

    def samples_per_simulation(self, recipe: Recipe) -> int:
        return 1

    def definition_for(self, index: int) -> DatasetDefinition:
        return _InLithiumGap() if index in GAP_GLASSES else self

    def simulate(self, recipe: Recipe, seed: int, samples: int) -> list[Atoms]:
        """One glass of a random composition."""
        random = np.random.default_rng(seed)
        return [melt_quench(self.composition(recipe, random), recipe, seed, random)]

    def composition(self, recipe: Recipe, random: np.random.Generator) -> Composition:
        return random_composition(recipe, random)

    def measure(self, atoms: Atoms, names: Sequence[str] | None = None) -> Measurement:
        """Lithium content of the structure as it is, moduli of the relaxed structure."""
        requested = [item.name for item in self.properties] if names is None else names
        properties = {self.property_named(name).name for name in requested}
        if len(atoms) == 0:
            return failed(properties, "no atoms")
        values = {}
        if "li_concentration" in properties:
            values["li_concentration"] = 100 * float(np.mean(atoms.symbols == "Li"))
        elastic = Measurement()
        elastic_names = properties & set(STRAINS)
        if elastic_names:
            overlap = has_overlap(atoms)
            elastic = failed(elastic_names, "atoms overlap") if overlap else _moduli(atoms, elastic_names)
        return Measurement(values=values | elastic.values, failures=elastic.failures, relaxed=elastic.relaxed)

    def relax(self, atoms: Atoms) -> RelaxedStructure:
        from ...metrics.elasticity.bmp_shrm_elasticity import relax_on_pieces

        return relaxed_structure(relax_on_pieces(atoms)[0])


class _InLithiumGap(MultiElementGlass):
    """Glasses with lithium in LITHIUM_GAP in the reduced recipe, and of any composition in the paper's."""

    def composition(self, recipe: Recipe, random: np.random.Generator) -> Composition:
        if recipe == "paper":
            return super().composition(recipe, random)
        choices, lithium = _compositions()
        near = np.flatnonzero(np.abs(lithium - random.uniform(*LITHIUM_GAP)) <= GAP_WIDTH)
        return choices[int(random.choice(near))]


def _gap_protocol(recipe: Recipe) -> dict[str, Any]:
    if recipe == "paper":
        return {}
    glasses = [GAP_GLASSES[0], GAP_GLASSES[-1]]
    return {"lithium_gap": {"glasses": glasses, "percent": list(LITHIUM_GAP), "within": GAP_WIDTH}}


def _moduli(atoms: Atoms, names: set[str]) -> Measurement:
    from ...metrics.elasticity.bmp_shrm_elasticity import elastic_constants_of

    try:
        elastic, relaxation = elastic_constants_of(atoms)
    except EvaluationFailed as error:
        return not_relaxed(names, f"relaxation broke down: {error}")
    if not elastic.converged:
        return not_relaxed(names, "relaxation did not converge")
    return moduli_of(elastic, names, relaxed_structure(relaxation))


@cache
def _compositions() -> tuple[tuple[Composition, ...], np.ndarray]:
    """All compositions, and their lithium contents [n] in percent of all atoms."""
    items = tuple(compositions())
    return items, np.array([100 * item.fractions["Li"] for item in items])


def random_composition(recipe: Recipe, random: np.random.Generator) -> Composition:
    """A random composition; the reduced recipe draws those rich in lithium more often."""
    choices, lithium = _compositions()
    weights = sampling_weights(lithium, LITHIUM_RICH, LITHIUM_RICH_SHARE[recipe])
    return choices[int(random.choice(len(choices), p=weights))]


def melt_quench(
    composition: Composition,
    recipe: Recipe,
    seed: int,
    random: np.random.Generator,
    *,
    size: int | None = None,
    quench_rate: float | None = None,
) -> Atoms:
    """A glass at 300 K; SimulationFailed if the melt does not boil, does not diffuse or evaporates.

    size: approximate number of atoms, by default that of the recipe
    quench_rate: K/ps, by default that of the recipe
    """
    counts = composition.atoms(size or SIZE[recipe])
    symbols = [element for element, count in counts.items() for _ in range(count)]
    start = random_packing(symbols, VOLUME_FACTOR, random)
    temperature = MELT_SHARE * boiling_point(start, HEATING_TIME[recipe], seed)
    with _dynamics(start) as dynamics:
        _melt(dynamics, temperature, *MELT[recipe], seed)
        quench = (temperature - SAMPLE_TEMPERATURE) / (quench_rate or QUENCH_RATE[recipe])
        dynamics.npt(temperature, SAMPLE_TEMPERATURE, quench)
        dynamics.npt(SAMPLE_TEMPERATURE, SAMPLE_TEMPERATURE, HOLD[recipe])
        glass: Atoms = dynamics.snapshot()
    density = len(glass) / glass.get_volume()
    if density < LEAST_DENSITY:
        raise SimulationFailed(f"the melt evaporated: {density:.3f} atoms per A^3")
    return glass


def _dynamics(start: Atoms) -> Any:
    return molecular_dynamics(start, BMP_SHRM, time_step=TIME_STEP, **COUPLING)


def boiling_point(start: Atoms, duration: float, seed: int) -> float:
    """Temperature (K) at which a drop of the melt starts to evaporate, when it is heated for ``duration`` ps."""
    with _dynamics(start) as dynamics:
        dynamics.minimise(force=START_FORCE, max_steps=START_STEPS)
        dynamics.set_velocities(HEATING[0], seed)
        dynamics.nvt(HEATING[0], HEATING[0], SETTLING)
        dynamics.give_room(ROOM)
        return kink(*dynamics.heating_curve(*HEATING, duration, HEATING_POINTS))


def kink(temperatures: np.ndarray, pressures: np.ndarray) -> float:
    """Temperature T* (K) of the least-squares fit p = a + b T + c max(0, T - T*).

    There the pressure leaves the straight line of low temperatures.

    temperatures [n]: K
    pressures [n]: any unit
    Raises SimulationFailed if the pressure does not rise above the line.
    """
    low, high = (float(np.quantile(temperatures, share)) for share in (0.1, 0.95))
    candidates = np.linspace(low, high, 200)
    slopes, errors = [], []
    for value in candidates:
        columns = np.stack(
            [np.ones_like(temperatures), temperatures, np.maximum(0, temperatures - value)], axis=1
        )
        solution = np.linalg.lstsq(columns, pressures, rcond=None)[0]
        slopes.append(solution[2])
        errors.append(float(((columns @ solution - pressures) ** 2).sum()))
    chosen = int(np.argmin(errors))
    if slopes[chosen] <= 0:
        raise SimulationFailed("no temperature of evaporation: the pressure does not leave its line upwards")
    return float(candidates[chosen])


def _melt(dynamics: MolecularDynamics, temperature: float, least: float, most: float, seed: int) -> None:
    """Run at constant pressure until every element has diffused; SimulationFailed if one has not after ``most`` ps."""
    dynamics.minimise(force=START_FORCE, max_steps=START_STEPS)
    dynamics.set_velocities(temperature, seed)
    dynamics.npt(temperature, temperature, SETTLING)
    dynamics.track_displacement()
    elapsed, slowest = 0.0, 0.0
    while elapsed < least or (slowest < DIFFUSED**2 and elapsed < most):
        dynamics.npt(temperature, temperature, least / 2)
        elapsed += least / 2
        slowest = min(dynamics.displacements().values())
    if slowest < DIFFUSED**2:
        raise SimulationFailed(
            f"an element moved by {slowest**0.5:.1f} A only in {elapsed:.0f} ps at {temperature:.0f} K"
        )
