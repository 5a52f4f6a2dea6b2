"""Which recipe gives moduli of BMP-shrm glasses that mean something? The tables of docs/metrics.md.

    python docs/studies/moduli_of_glasses.py FOLDER

Makes a glass of silica, a lithium silicate, an aluminosilicate and a phosphate by the reduced recipe (kept in FOLDER),
and prints C11, C12, E and G (GPa) of each: with the published potential and with its smooth piece, by finite strains of
three sizes and by linear response, with two minimisers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write
from ase.optimize import FIRE, LBFGS
from tabulate import tabulate

from amsbench.benchmark.datasets.meg import melt_quench
from amsbench.benchmark.datasets.meg_compositions import ELEMENTS, Composition
from amsbench.metrics.elasticity import finite_strain
from amsbench.metrics.elasticity.bmp_shrm_elasticity import BMPShrmPiece, relax_on_pieces
from amsbench.metrics.elasticity.finite_strain import ElasticConstants, elastic_constants, relax
from amsbench.metrics.elasticity.linear_response import stiffness
from amsbench.metrics.potentials.bmp_shrm import BMP_SHRM
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator

STRAINS = (0.005, 0.01, 0.02)
FORCES = (0.01, 0.005, 0.001)
GLASSES = {
    "silica": {"Si": "1"},
    "lithium silicate": {"Si": "7/10", "Li": "3/10"},
    "aluminosilicate": {"Si": "2/5", "Al": "1/5", "Ca": "1/5", "K": "1/5"},
    "phosphate": {"P": "3/5", "Li": "1/5", "Zn": "1/5"},
}
"""Shares of the cations."""


def composition(shares: dict[str, str]) -> Composition:
    return Composition(tuple(Fraction(shares.get(element, "0")) for element in ELEMENTS[:-1]))


def glass(name: str, folder: Path) -> Atoms:
    path = folder / f"{name.replace(' ', '-')}.extxyz"
    if not path.exists():
        made = melt_quench(composition(GLASSES[name]), "reduced", 1, np.random.default_rng(1))
        write(path, made)
    found = read(path)
    assert isinstance(found, Atoms)
    return found


def minimiser(
    kind: Callable[..., Any], target: Any, fmax: float, max_steps: int, *_: Any
) -> tuple[bool, int]:
    with kind(target, logfile=None) as optimizer:
        return bool(optimizer.run(fmax=fmax, steps=max_steps)), int(optimizer.nsteps)


def by_strains(rows: list[list[Any]], what: str, atoms: Atoms, calculator: Calculator) -> None:
    for kind in (LBFGS, FIRE):
        finite_strain._minimise = partial(minimiser, kind)
        for strain in STRAINS:
            start = time.process_time()
            found = elastic_constants(atoms, calculator, strain=strain, max_steps=3000)
            row(rows, f"{what}, {kind.__name__}, {100 * strain:g} %", found, time.process_time() - start)
    finite_strain._minimise = partial(minimiser, LBFGS)


def by_response(rows: list[list[Any]], kind: Callable[..., Any], atoms: Atoms, fmax: float) -> None:
    finite_strain._minimise = partial(minimiser, kind)
    start = time.process_time()
    relaxed, piece = relax_on_pieces(atoms, fmax=fmax, max_steps=5000)
    matrix = stiffness(relaxed.atoms, piece.terms)
    found = ElasticConstants(
        stiffness=np.full((6, 6), np.nan) if matrix is None else matrix,
        converged=relaxed.converged and matrix is not None,
        steps=relaxed.steps,
    )
    row(rows, f"piece, linear response, {kind.__name__}, {fmax:g} eV/A", found, time.process_time() - start)
    finite_strain._minimise = partial(minimiser, LBFGS)


def row(rows: list[list[Any]], what: str, found: ElasticConstants, seconds: float) -> None:
    values = [found.c11, found.c12, found.youngs_modulus, found.c44]
    shown = [f"{value:.1f}" for value in values] if found.converged else ["-"] * 4
    rows.append([what, *shown, found.steps, f"{seconds:.1f} s"])
    print(*rows[-1], file=sys.stderr, flush=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in GLASSES:
        atoms = glass(name, folder)
        rows: list[list[Any]] = []
        with LammpsCalculator(BMP_SHRM) as published:
            relaxed = relax(atoms, published)
            print(f"{name}: the published potential relaxed: {relaxed.converged}", file=sys.stderr)
            by_strains(rows, "published", relaxed.atoms, published)
        for kind in (FIRE, LBFGS):
            for fmax in FORCES:
                by_response(rows, kind, atoms, fmax)
        minimum, piece = relax_on_pieces(atoms)
        assert isinstance(piece, BMPShrmPiece)
        by_strains(rows, "piece", minimum.atoms, piece)
        print(f"\n{name}, {len(atoms)} atoms\n")
        print(tabulate(rows, ["", "C11", "C12", "E", "G", "steps", "time"], "github", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
