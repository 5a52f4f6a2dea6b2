"""ASE calculator that keeps one LAMMPS instance between evaluations.

The relaxation of a glass takes thousands of evaluations of one system. The instance is started once and then receives
new cells and positions. It prints nothing, writes no files, and takes cells of any orientation or handedness.
"""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from ...errors import AmsbenchError
from .lammps import open_lammps
from .potential import EvaluationFailed, Potential

if TYPE_CHECKING:
    from ase import Atoms

STRESS_TERMS = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
"""Names in LAMMPS of the components of the pressure tensor, in ASE's Voigt order."""

VOLUME_PER_ATOM = (1.0, 1e4)
"""Smallest and largest volume per atom of an evaluation, A^3.

An atom of a smaller cell has too many neighbours for an evaluation to end; a larger cell holds a gas.
"""


class LammpsCalculator(Calculator):
    """Energy (eV), forces (eV/A) and stress (eV/A^3, sign of ASE) of periodic structures under a ``Potential``.

    Use it as a context manager, or call ``close``. Raises AmsbenchError for a structure that is not periodic or has
    elements without parameters; EvaluationFailed if LAMMPS stops with an error, if energy, forces or stress are not
    finite, and for a cell outside of ``VOLUME_PER_ATOM``.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]  # type: ignore[misc]

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self._potential = potential
        self._engine: Any = None
        self._numbers = np.zeros(0, dtype=int)
        self._cell = self._lower = self._rotation = self._to_lower = np.zeros((3, 3))

    def __enter__(self) -> LammpsCalculator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the LAMMPS instance; the next evaluation starts a new one."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute all properties of ``atoms`` into ``results``."""
        super().calculate(atoms, properties, system_changes)
        if atoms is None:
            raise ValueError("calculate() needs the atoms")
        if not atoms.pbc.all():
            raise AmsbenchError(
                f"a structure has pbc {atoms.pbc.tolist()}, the potential is evaluated in periodic cells only"
            )
        check_volume_and_positions(atoms)
        energy, forces, pressure = self._evaluate(atoms)
        xx, yy, zz, yz, xz, xy = -pressure * units.bar
        rotation = self._rotation
        stress = rotation @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ rotation.T
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces @ rotation.T,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }

    def _evaluate(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces [n, 3] (eV/A) and pressure [6] (bar) in the axes of the lower triangular cell."""
        same_cell = np.array_equal(atoms.cell.array, self._cell)
        if not same_cell:
            self._lower, self._rotation = lower_triangular(atoms.cell.array)
            self._to_lower = np.linalg.inv(atoms.cell.array)
            self._cell = atoms.cell.array.copy()
        fractions = atoms.positions @ self._to_lower
        positions = np.ascontiguousarray((fractions - np.floor(fractions)) @ self._lower)
        try:
            if self._engine is None or not np.array_equal(atoms.numbers, self._numbers):
                self._start(atoms, positions)
                same_cell = False
            else:
                if not same_cell:
                    self._engine.command(f"change_box all {_final(self._lower)} units box")
                self._engine.scatter_atoms(
                    "x", 1, 3, positions.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
                )
            # With a time step of zero, ``run 1 pre no`` is an evaluation without the set-up of a run, which takes twice
            # as long as the forces, and with the old neighbour list while it is valid. It needs an unchanged cell.
            self._engine.command("run 1 pre no post no" if same_cell else "run 0 post no")
            energy = float(self._engine.get_thermo("pe"))
            forces = np.array(self._engine.gather_atoms("f", 1, 3)).reshape(-1, 3)
            pressure = np.array([self._engine.get_thermo(term) for term in STRESS_TERMS])
        except AmsbenchError:
            raise
        except Exception as error:
            # LAMMPS raises Exception itself. The state of an instance after an error is undefined.
            self.close()
            raise EvaluationFailed(f"LAMMPS stopped: {error}") from error
        if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(pressure).all()):
            self.close()
            raise EvaluationFailed("energy, forces or stress are not finite")
        return energy, forces, pressure

    def _start(self, atoms: Atoms, positions: np.ndarray) -> None:
        """Start an instance with the atoms at ``positions`` [n, 3] in the lower triangular cell."""
        self.close()
        types = self._potential.types(atoms).tolist()
        engine = open_lammps()
        # Assigned before the commands below, so that close() ends the instance also if one of them fails.
        self._engine, self._numbers = engine, atoms.numbers.copy()
        cell = self._lower
        edges = " ".join(f"0 {edge!r}" for edge in np.diag(cell).tolist())
        tilts = " ".join(repr(float(tilt)) for tilt in (cell[1, 0], cell[2, 0], cell[2, 1]))
        engine.commands_list(
            [
                "box tilt large",
                f"region cell prism {edges} {tilts}",
                f"create_box {len(self._potential.elements)} cell",
            ]
        )
        engine.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), types, positions.ravel())
        engine.commands_list(self._potential.commands())
        engine.commands_list(
            [
                "thermo_style custom step pe " + " ".join(STRESS_TERMS),
                "fix hold all nve",
                "timestep 0.0",
                "neigh_modify every 1 delay 0 check yes",
            ]
        )


def check_volume_and_positions(atoms: Atoms) -> None:
    """Raise EvaluationFailed for a cell outside of ``VOLUME_PER_ATOM`` or positions that are not finite."""
    volume = atoms.get_volume() / max(len(atoms), 1)
    if not VOLUME_PER_ATOM[0] <= volume <= VOLUME_PER_ATOM[1] or not np.isfinite(atoms.positions).all():
        raise EvaluationFailed(f"the cell has {volume:.3g} A^3 per atom, or positions are not finite")


def _final(cell: np.ndarray) -> str:
    """Arguments of the LAMMPS command ``change_box`` for a lower triangular cell [3, 3]."""
    edges = [f"{axis} final 0 {edge!r}" for axis, edge in zip("xyz", np.diag(cell).tolist(), strict=True)]
    tilts = {"xy": cell[1, 0], "xz": cell[2, 0], "yz": cell[2, 1]}
    return " ".join(edges + [f"{name} final {float(tilt)!r}" for name, tilt in tilts.items()])


def lower_triangular(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower triangular cell [3, 3], as LAMMPS needs it, and orthogonal matrix R [3, 3]: lower = cell @ R.

    cell [3, 3]: rows are lattice vectors

    R of a left-handed cell includes a reflection, under which energies do not change. Raises AmsbenchError for a cell
    without volume.
    """
    orthogonal, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    if np.any(signs == 0):
        raise AmsbenchError(f"a cell has no volume: {cell.tolist()}")
    return (upper.T * signs), orthogonal * signs


def energy_per_atom(potential: Potential, atoms: Atoms) -> tuple[float, float]:
    """Energy per atom (eV) and largest force on an atom (eV/A).

    Raises EvaluationFailed if the structure has no finite energy.
    """
    with LammpsCalculator(potential) as calculator:
        calculator.calculate(atoms)
        forces = calculator.results["forces"]
        energy = calculator.results["energy"] / len(atoms)
    return energy, float(np.linalg.norm(forces, axis=1).max())
