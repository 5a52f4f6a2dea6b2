"""Molecular dynamics of a periodic cell in LAMMPS: the steps of melt-quench simulations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...metrics.potentials.lammps import lammps_session
from ...metrics.potentials.potential import Potential
from .definition import SimulationFailed

if TYPE_CHECKING:
    from ase import Atoms

THERMOSTAT_TIME = 0.1
"""Relaxation time of the Nose-Hoover thermostat, ps."""
BAROSTAT_TIME = 1.0
"""Relaxation time of the isotropic Nose-Hoover barostat, ps."""

SAMPLING = 5
"""Number of time steps between the samples of a heating curve."""

NEIGHBOUR_SKIN = 1.0
"""Skin of the neighbour lists, angstrom; LAMMPS' default of 2 A makes the lists of these short-ranged potentials
longer, which costs more time than the rarer rebuilding saves."""
PACKING_TRIES = 200_000
"""Random positions tried for an atom of a packing before the packing counts as stuck."""
PACKING_BATCH = 200


class MolecularDynamics:
    """Molecular dynamics of one periodic system; times in ps, temperatures in K, lengths in angstrom.

    Every method that runs LAMMPS raises SimulationFailed if the run fails.
    """

    def __init__(
        self,
        engine: Any,
        atoms: Atoms,
        potential: Potential,
        *,
        time_step: float,
        thermostat: float = THERMOSTAT_TIME,
        barostat: float = BAROSTAT_TIME,
        pressure: float = 0.0,
    ) -> None:
        """Set up the system.

        thermostat, barostat: relaxation times, ps
        pressure: pressure of constant-pressure runs, bar
        Raises ValueError for cells that are not orthorhombic along x, y and z, and SimulationFailed for lost atoms.
        """
        self._engine = engine
        self._atoms = atoms
        self._time_step = time_step
        self._thermostat, self._barostat, self._pressure = thermostat, barostat, pressure
        edges = atoms.cell.lengths()
        if not np.allclose(atoms.cell.array, np.diag(edges)):
            raise ValueError("simulations start from an orthorhombic cell with axes along x, y and z")
        types = potential.types(atoms)
        engine.command("region cell block " + " ".join(f"0 {edge!r}" for edge in edges.tolist()))
        engine.command(f"create_box {len(potential.elements)} cell")
        engine.create_atoms(
            len(atoms), list(range(1, len(atoms) + 1)), types.tolist(), atoms.get_positions(wrap=True).ravel()
        )
        if engine.get_natoms() != len(atoms):
            raise SimulationFailed(f"LAMMPS placed {engine.get_natoms()} of {len(atoms)} atoms")
        engine.commands_list(potential.commands())
        engine.commands_list([f"timestep {time_step!r}", "thermo 1000000", "thermo_modify lost error"])
        engine.command(f"neighbor {NEIGHBOUR_SKIN} bin")
        # the energy exists only after a first evaluation
        self._run("run 0 post no")

    def set_time_step(self, time_step: float) -> None:
        """Set the time step (ps) of the following runs."""
        self._time_step = time_step
        self._run(f"timestep {time_step!r}")

    def set_velocities(self, temperature: float, seed: int) -> None:
        """Draw Maxwell-Boltzmann velocities without net momentum."""
        self._run(f"velocity all create {temperature!r} {seed} mom yes rot no dist gaussian loop all")

    def nvt(self, start: float, stop: float, duration: float) -> None:
        """Run at constant volume while the temperature changes linearly from ``start`` to ``stop``."""
        self._run(
            f"fix nvt all nvt temp {start!r} {stop!r} {self._thermostat}",
            f"run {self._steps(duration)}",
            "unfix nvt",
        )

    def heating_curve(
        self, start: float, stop: float, duration: float, points: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heat at constant volume; mean temperatures [points] (K) and pressures [points] (bar) of equal intervals."""
        every = max(1, self._steps(duration) // points // SAMPLING) * SAMPLING
        self._run(
            f"fix nvt all nvt temp {start!r} {stop!r} {self._thermostat}",
            f"fix mean all ave/time {SAMPLING} {every // SAMPLING} {every} c_thermo_temp c_thermo_press",
        )
        # LAMMPS averages over intervals that end at multiples of their length
        now = int(self._engine.extract_global("ntimestep"))
        first = -now % every
        last = now + first + points * every
        if first:
            self._run(f"run {first} start {now} stop {last}")
        curve = []
        for _ in range(points):
            self._run(f"run {every} start {now} stop {last}")
            curve.append([self._engine.extract_fix("mean", 0, 1, k) for k in (0, 1)])
        self._run("unfix mean", "unfix nvt")
        temperatures, pressures = np.array(curve).T
        return temperatures, pressures

    def give_room(self, factor: float) -> None:
        """Scale the cell's edges by ``factor`` around the unchanged atoms, so that a melt becomes a drop."""
        self._run(f"change_box all x scale {factor!r} y scale {factor!r} z scale {factor!r} units box")

    def npt(self, start: float, stop: float, duration: float) -> None:
        """Run at constant isotropic pressure while the temperature changes linearly from ``start`` to ``stop``."""
        self._start_npt(start, stop)
        self._run(f"run {self._steps(duration)}", "unfix npt")

    def npt_snapshots(self, temperature: float, count: int, spacing: float) -> list[Atoms]:
        """``count`` structures of a constant-pressure run, ``spacing`` ps apart, the first being the present one.

        Thermostat and barostat are not restarted between them, because that would reset the cell's momentum.
        """
        self._start_npt(temperature, temperature)
        snapshots = [self.snapshot()]
        while len(snapshots) < count:
            self._run(f"run {self._steps(spacing)}")
            snapshots.append(self.snapshot())
        self._run("unfix npt")
        return snapshots

    def minimise(self, *, force: float, max_steps: int) -> None:
        """Minimise the energy in the present cell (instant quench), to forces below ``force`` (eV/A)."""
        self._run("min_style cg", f"minimize 0.0 {force!r} {max_steps} {10 * max_steps}")

    def track_displacement(self) -> None:
        """Set the reference positions of ``displacement`` and ``displacements``."""
        self._run("compute displacement all msd com yes", "compute displacements all displace/atom")

    def displacement(self) -> float:
        """Mean squared displacement since ``track_displacement``, A^2, without the drift of the centre of mass."""
        return float(self._engine.numpy.extract_compute("displacement", 0, 1)[3])

    def displacements(self) -> dict[str, float]:
        """Mean squared displacement of each element since ``track_displacement``, A^2."""
        self._run("run 0 post no")
        vectors = np.array(self._engine.gather("c_displacements", 1, 4)).reshape(-1, 4)[:, :3]
        vectors -= vectors.mean(axis=0)
        squares, symbols = (vectors**2).sum(axis=1), np.array(self._atoms.get_chemical_symbols())
        return {symbol: float(squares[symbols == symbol].mean()) for symbol in np.unique(symbols)}

    def energy(self) -> float:
        """Potential energy per atom, eV."""
        return float(self._engine.get_thermo("pe")) / len(self._atoms)

    def snapshot(self) -> Atoms:
        """Present structure, wrapped into its cell; SimulationFailed if positions or energy are not finite."""
        from ase import Atoms

        low, high = (np.array(corner) for corner in self._engine.extract_box()[:2])
        flat = self._engine.gather_atoms("x", 1, 3)
        positions = np.array(flat, dtype=np.float64).reshape(-1, 3) - low
        if not (np.all(np.isfinite(positions)) and math.isfinite(self.energy())):
            raise SimulationFailed("positions or energy are no longer finite")
        structure = Atoms(
            self._atoms.get_chemical_symbols(), positions=positions, cell=np.diag(high - low), pbc=True
        )
        structure.wrap()
        return structure

    def _start_npt(self, start: float, stop: float) -> None:
        coupling = f"iso {self._pressure!r} {self._pressure!r} {self._barostat}"
        self._run(f"fix npt all npt temp {start!r} {stop!r} {self._thermostat} {coupling}")

    def _steps(self, duration: float) -> int:
        return round(duration / self._time_step)

    def _run(self, *commands: str) -> None:
        for command in commands:
            try:
                self._engine.command(command)
            except Exception as error:
                # LAMMPS raises bare Exception; the build repeats a run that lost atoms or diverged with another seed
                raise SimulationFailed(f"LAMMPS stopped at '{command}': {error}") from error


@contextmanager
def molecular_dynamics(
    atoms: Atoms, potential: Potential, *, time_step: float, **coupling: float
) -> Iterator[MolecularDynamics]:
    """Context with a ``MolecularDynamics`` of ``atoms`` (time step in ps); LAMMPS is closed at its end."""
    with lammps_session() as engine:
        yield MolecularDynamics(engine, atoms, potential, time_step=time_step, **coupling)


def random_packing(symbols: list[str], volume_factor: float, random: np.random.Generator) -> Atoms:
    """Atoms at random positions in a periodic cube, no two closer than the sum of their covalent radii.

    volume_factor: volume of the cube over the total volume of the atoms as spheres of their covalent radii
    Raises SimulationFailed if no position is found for an atom, which hardly happens for factors above 4.
    """
    from ase import Atoms
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    edge = float((volume_factor * (4 / 3 * math.pi * radii**3).sum()) ** (1 / 3))
    positions = np.empty((len(symbols), 3))
    # large atoms first, because small ones find a position more easily
    placed: list[int] = []
    for index in np.argsort(-radii, kind="stable").tolist():
        positions[index] = _free_place(positions[placed], radii[placed] + radii[index], edge, random)
        placed.append(index)
    return Atoms(symbols, positions=positions, cell=[edge] * 3, pbc=True)


def _free_place(
    others: np.ndarray, distances: np.ndarray, edge: float, random: np.random.Generator
) -> np.ndarray:
    for _ in range(PACKING_TRIES // PACKING_BATCH):
        trials = random.uniform(0.0, edge, (PACKING_BATCH, 3))
        apart = trials[:, None] - others[None]
        apart -= edge * np.round(apart / edge)
        free = np.all((apart**2).sum(-1) >= distances**2, axis=1)
        if free.any():
            return trials[np.argmax(free)]
    raise SimulationFailed(f"no free place for an atom after {PACKING_TRIES} tries")
