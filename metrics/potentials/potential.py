"""Interatomic potentials as LAMMPS commands; datasets are simulated and properties measured with them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from .lammps import lammps_version, potentials_folder

if TYPE_CHECKING:
    from ase import Atoms


class EvaluationFailed(Exception):
    """Raised if a structure has no finite energy or forces, or if its cell has collapsed or expanded too far."""


@dataclass(frozen=True, kw_only=True)
class Potential(ABC):
    """An interatomic potential in LAMMPS (``metal`` units: A, eV, ps, bar).

    elements: chemical symbols in the order of the LAMMPS atom types
    reference: publication of the parameters
    """

    name: str
    elements: tuple[str, ...]
    reference: str

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of all parameters, stored with all data that were computed with them."""

    @abstractmethod
    def interactions(self) -> list[str]:
        """LAMMPS commands that set charges and pair styles in an existing box with its atoms."""

    def provenance(self) -> dict[str, str]:
        """Name, reference, hash and LAMMPS version, as stored with data."""
        return {
            "potential": self.name,
            "potential_reference": self.reference,
            "potential_sha256": self.sha256,
            "lammps_version": lammps_version(),
        }

    def commands(self) -> list[str]:
        """LAMMPS commands that set masses and interactions in an existing box with its atoms."""
        from ase.data import atomic_masses, atomic_numbers

        masses = [
            f"mass {kind} {atomic_masses[atomic_numbers[symbol]]}"
            for kind, symbol in enumerate(self.elements, start=1)
        ]
        return [*masses, *self.interactions()]

    def types(self, atoms: Atoms) -> np.ndarray:
        """LAMMPS atom types [n], counted from 1; AmsbenchError for an element without parameters."""
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
    """A potential whose parameter file is installed with LAMMPS.

    style: LAMMPS ``pair_style``
    file: name of the parameter file in the folder of potentials of LAMMPS
    """

    style: str
    file: str

    @property
    def path(self) -> Path:
        """Path of the parameter file; AmsbenchError if it does not exist."""
        path = potentials_folder() / self.file
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
