"""BMP-shrm, a pair potential with a screened three-body term for oxide glasses of up to eleven elements.

Bertani, Menziani and Pedone, Phys. Rev. Materials 5, 045602 (2021). Its four terms are damped shifted Coulomb sums of
partial charges, Morse functions with a repulsive wall between oxygen and all elements, soft repulsions between network
formers, and angles at bridging oxygens. All cutoffs are sharp, as published: the energy is discontinuous where a pair
passes 7 A and where a leg of an angle passes the cutoff of the three-body term.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from .potential import Potential

CHARGES = {
    "O": -1.2,
    "Si": 2.4,
    "P": 3.0,
    "Al": 1.8,
    "Li": 0.6,
    "Be": 1.2,
    "K": 0.6,
    "Ca": 1.2,
    "Ti": 2.4,
    "Ba": 1.2,
    "Zn": 1.2,
}
"""Partial charges, e; 0.6 times the formal charges."""

MORSE_WITH_OXYGEN = {
    "Si": (0.340554, 2.006700, 2.100000, 1.0),
    "P": (0.831326, 2.585833, 1.790790, 1.0),
    "Al": (0.361581, 1.900442, 2.164818, 0.9),
    "Li": (0.041556, 1.758181, 2.551360, 1.0),
    "K": (0.016098, 2.067900, 3.180030, 5.0),
    "Be": (0.239919, 2.527420, 1.815405, 1.0),
    "Ca": (0.030211, 2.241334, 2.923245, 5.0),
    "Ti": (0.024235, 2.254703, 2.708943, 1.0),
    "Ba": (0.065011, 1.547596, 3.393410, 5.0),
    "Zn": (0.001221, 3.150679, 2.851850, 1.0),
    "O": (0.042395, 1.379316, 3.618701, 100.0),
}
"""D (eV), a (1/A), r0 (A) and C (eV A^12) of D ((1 - exp(-a (r - r0)))^2 - 1) + C / r^12."""

REPULSION = {
    ("Si", "Si"): (7.093669, 0.975598),
    ("Si", "Al"): (8.090830, 0.521919),
    ("Al", "Al"): (7.059690, 0.919844),
    ("P", "P"): (5.093669, 0.905598),
    ("Si", "P"): (5.093669, 0.905598),
}
"""A (eV) and rho (A) of A exp(-r / rho)."""

ANGLES_FILE = Path(__file__).parent / "parameters" / "bmp_shrm.nb3b"
"""Parameters of the three-body term, in the format of LAMMPS."""

PAIR_CUTOFF = 7.0
"""Cutoff of all pair terms except the Coulomb term, A."""

COULOMB_DAMPING = 0.2
"""Damping of the Coulomb term, 1/A."""

COULOMB_CUTOFF = 12.0
"""Cutoff of the Coulomb term, A; the cost of a simulation depends on it most."""


@dataclass(frozen=True, kw_only=True)
class BMPShrm(Potential):
    """BMP-shrm, or the sum of some of its terms.

    terms: the LAMMPS pair styles of the terms, out of ``coul/dsf``, ``pedone``, ``buck`` and ``nb3b/screened``
    """

    name: str = "BMP-shrm"
    elements: tuple[str, ...] = tuple(CHARGES)
    reference: str = "Bertani, Menziani and Pedone, Phys. Rev. Materials 5, 045602 (2021)"
    terms: tuple[str, ...] = ("coul/dsf", "pedone", "buck", "nb3b/screened")

    @property
    def sha256(self) -> str:
        text = "\n".join(line for line in self.interactions() if str(ANGLES_FILE) not in line)
        return hashlib.sha256(text.encode() + ANGLES_FILE.read_bytes()).hexdigest()

    def interactions(self) -> list[str]:
        types = {symbol: atom_type for atom_type, symbol in enumerate(self.elements, start=1)}
        styles = {
            "coul/dsf": f"{COULOMB_DAMPING} {COULOMB_CUTOFF}",
            "pedone": f"{PAIR_CUTOFF}",
            "buck": f"{PAIR_CUTOFF}",
            "nb3b/screened": "",
            "zero": f"{COULOMB_CUTOFF}",
        }
        # LAMMPS requires a pair style for every pair of elements.
        base_style = "coul/dsf" if "coul/dsf" in self.terms else "zero"
        terms = dict.fromkeys((base_style, *self.terms))
        lines = [f"set type {types[symbol]} charge {CHARGES[symbol]}" for symbol in self.elements]
        lines.append("pair_style hybrid/overlay " + " ".join(f"{term} {styles[term]}" for term in terms))
        lines.append(f"pair_coeff * * {base_style}")
        if "pedone" in self.terms:
            lines += [
                _pair(types, symbol, "O", "pedone", MORSE_WITH_OXYGEN[symbol]) for symbol in self.elements
            ]
        if "buck" in self.terms:
            lines += [_pair(types, *pair, "buck", (*values, 0.0)) for pair, values in REPULSION.items()]
        if "nb3b/screened" in self.terms:
            centres = [symbol if symbol in ("Si", "P", "O") else "NULL" for symbol in self.elements]
            lines.append(f'pair_coeff * * nb3b/screened "{ANGLES_FILE}" {" ".join(centres)}')
        return lines


def _pair(types: dict[str, int], one: str, other: str, style: str, values: tuple[float, ...]) -> str:
    """LAMMPS command that sets the parameters of a pair style for two elements."""
    first, second = sorted((types[one], types[other]))
    return f"pair_coeff {first} {second} {style} {' '.join(map(str, values))}"


BMP_SHRM = BMPShrm()
