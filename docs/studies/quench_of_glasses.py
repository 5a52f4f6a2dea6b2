"""How far can glasses of the reduced recipe be trusted? The tables of docs/datasets.md.

    python docs/studies/quench_of_glasses.py FOLDER

Quenches glasses of about 216 atoms at two or three rates, all else as in the reduced recipe, two of each (kept in
FOLDER, so that a run that was stopped goes on), and prints density, energy at the minimum, moduli, and the RMSD of g(r)
between the rates. Silica and three lithium silicates are the compositions of which the original set has E and G of one
glass each.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from tabulate import tabulate

from amsbench.benchmark.datasets.meg import MultiElementGlass, melt_quench
from amsbench.benchmark.datasets.meg_compositions import ELEMENTS, Composition
from amsbench.metrics.descriptors import structure_facts
from amsbench.metrics.distribution_functions import rdf
from amsbench.metrics.elasticity.bmp_shrm_elasticity import relax_on_pieces
from amsbench.metrics.structural_errors import curve_rmsd

RATES = (100.0, 20.0)
"""K/ps, the first of the reduced recipe."""
SLOWEST = 5.0
"""K/ps, of the paper; of the glasses below, for a quarter of an hour each."""
SLOWLY = ("silica", "20 % Li")
SEEDS = (1, 2)
GLASSES: dict[str, dict[str, str]] = {
    "silica": {"Si": "1"},
    "10 % Li": {"Si": "9/10", "Li": "1/10"},
    "20 % Li": {"Si": "8/10", "Li": "2/10"},
    "30 % Li": {"Si": "7/10", "Li": "3/10"},
    "aluminosilicate": {"Si": "2/5", "Al": "1/5", "Ca": "1/5", "K": "1/5"},
    "phosphate": {"P": "3/5", "Li": "1/5", "Zn": "1/5"},
}
"""Shares of the cations."""
ORIGINAL = {"silica": (84.9, 33.6), "10 % Li": (81.7, 34.0), "20 % Li": (79.0, 33.0), "30 % Li": (77.1, 34.9)}
"""E and G (GPa) of one glass of 801 atoms each of the paper's data, melted for 400 ps and quenched at 5 K/ps."""


def glass(name: str, rate: float, seed: int, folder: Path) -> Atoms:
    path = folder / f"{name.replace(' ', '').replace('%', '')}-{rate:g}-{seed}.extxyz"
    if not path.exists():
        shares = GLASSES[name]
        composition = Composition(tuple(Fraction(shares.get(element, "0")) for element in ELEMENTS[:-1]))
        start = time.perf_counter()
        made = melt_quench(composition, "reduced", seed, np.random.default_rng(seed), quench_rate=rate)
        write(path, made)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    found = read(path)
    assert isinstance(found, Atoms)
    return found


def both(values: list[float], places: int) -> str:
    return " / ".join("-" if np.isnan(value) else f"{value:.{places}f}" for value in values)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    measure = MultiElementGlass().measure
    rows = []
    plan = {name: (*RATES, SLOWEST) if name in SLOWLY else RATES for name in GLASSES}
    for rate in (*RATES, SLOWEST):  # the slowest last, so that a run that is stopped has something to compare
        for name in plan:
            for seed in SEEDS if rate in plan[name] else ():
                glass(name, rate, seed, folder)
    for name, rates in plan.items():
        curves = {}
        for rate in rates:
            glasses = [glass(name, rate, seed, folder) for seed in SEEDS]
            curves[rate] = rdf(glasses)
            found = [measure(atoms, ("youngs_modulus", "shear_modulus")).values for atoms in glasses]
            energies = [relax_on_pieces(atoms)[0].energy / len(atoms) for atoms in glasses]
            rows.append(
                [
                    name,
                    f"{rate:g}",
                    both([facts.mass_density for facts in structure_facts(glasses)], 2),
                    both(energies, 3),
                    both([values.get("youngs_modulus", np.nan) for values in found], 1),
                    both([values.get("shear_modulus", np.nan) for values in found], 1),
                    f"{curve_rmsd(curves[rate].mean, curves[RATES[0]].mean):.3f}" if rate != RATES[0] else "",
                    f"{curve_rmsd(*curves[rate].values):.3f}",
                ]
            )
            print(*rows[-1], file=sys.stderr, flush=True)
        if name in ORIGINAL:
            rows.append([name, "original", "", "", *(f"{value:.1f}" for value in ORIGINAL[name]), "", ""])
    heads = ["", "K/ps", "g/cm^3", "eV/atom", "E, GPa", "G, GPa", "g(r) from 100 K/ps", "between the two"]
    print(tabulate(rows, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
