"""How much does the shear modulus of a silica glass depend on minimiser and strain? The table of docs/datasets.md.

    python docs/studies/minimiser_of_moduli.py FOLDER [COUNT]

Measures the first COUNT (all) of 50 glasses that are evenly spaced in the dataset ``asio2``: relaxation of atoms and
cell, then finite strains, by each of ``WAYS``. Values are kept in FOLDER, one line per glass, and a further call
continues there. Prints the differences from the way of the labels, LBFGS and 1 %.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import FIRE, LBFGS
from ase.optimize.sciopt import OptimizerConvergenceError, SciPyFminCG
from tabulate import tabulate

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.system.files import write_text
from amsbench.metrics.elasticity import finite_strain
from amsbench.metrics.elasticity.finite_strain import elastic_constants, relax
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator
from amsbench.metrics.potentials.potential import TERSOFF_SILICA, EvaluationFailed

WAYS: dict[str, tuple[Any, float, float]] = {
    "LBFGS, 1 %, 0.005 eV/A": (LBFGS, 0.01, 0.005),
    "LBFGS, 2 %, 0.01 eV/A": (LBFGS, 0.02, 0.01),
    "LBFGS, 1 %, 0.0005 eV/A": (LBFGS, 0.01, 0.0005),
    "conjugate gradients, 1 %, 0.005 eV/A": (SciPyFminCG, 0.01, 0.005),
    "FIRE, 1 %, 0.005 eV/A": (FIRE, 0.01, 0.005),
}
"""Minimiser, strain and force tolerance in the strained cells. The first way is that of the labels; the paper has a
quasi-Newton minimiser and 2 %."""

OWN = next(iter(WAYS))
GLASSES = 50
MAX_STEPS = 3_000
"""Twice the limit of the labels; FIRE takes more steps than LBFGS."""


@contextmanager
def minimised_by(kind: Any) -> Iterator[None]:
    """Context in which ``finite_strain`` minimises with an optimiser class of ASE."""

    def minimise(relaxable: Any, fmax: float, max_steps: int, curvatures: Any = ()) -> tuple[bool, int]:
        with kind(relaxable, logfile=None) as optimiser:
            try:
                converged = bool(optimiser.run(fmax=fmax, steps=max_steps))
            except OptimizerConvergenceError:  # a line search that makes no progress
                converged = False
            return converged, int(optimiser.nsteps)

    before, finite_strain._minimise = finite_strain._minimise, minimise
    try:
        yield
    finally:
        finite_strain._minimise = before


def shear_modulus(atoms: Atoms, kind: Any, strain: float, fmax: float) -> float | None:
    """Shear modulus in GPa, or None where a relaxation does not converge or a shear constant is not positive."""
    with minimised_by(kind), LammpsCalculator(TERSOFF_SILICA) as calculator:
        try:
            relaxed = relax(atoms, calculator, max_steps=MAX_STEPS)
            if not relaxed.converged:
                return None
            elastic = elastic_constants(
                relaxed.atoms,
                calculator,
                components=(3, 4, 5),
                strain=strain,
                fmax=fmax,
                max_steps=MAX_STEPS,
            )
        except EvaluationFailed:
            return None
    if not elastic.converged or np.any(np.diag(elastic.stiffness)[3:] <= 0):
        return None
    return elastic.c44


def measured(folder: Path, count: int) -> list[dict[str, Any]]:
    """One row per glass: its index in the dataset, its label and the modulus by each way; resumes from ``folder``."""
    dataset = load_dataset("asio2")
    glasses = np.linspace(0, len(dataset) - 1, GLASSES).round().astype(int)[:count]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "moduli.jsonl"
    rows = (
        {row["glass"]: row for row in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    )
    for index in map(int, glasses):
        atoms = dataset.atoms(index)
        row = rows.setdefault(index, {"glass": index, "label": atoms.info.get("shear_modulus")})
        for way in WAYS.keys() - row.keys():
            row[way] = shear_modulus(atoms, *WAYS[way])
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows.values()))
        print(index, row["label"], *(row[way] for way in WAYS), file=sys.stderr, flush=True)
    return [rows[index] for index in map(int, glasses)]


def table(rows: list[dict[str, Any]]) -> str:
    """Differences of each way from ``OWN``, over the glasses that both can measure."""
    lines = []
    own = np.array([np.nan if row[OWN] is None else row[OWN] for row in rows])
    for way in ["label", *WAYS]:
        values = np.array([np.nan if row[way] is None else row[way] for row in rows])
        both = np.isfinite(own) & np.isfinite(values)
        difference = (values - own)[both]
        if way == OWN:
            lines.append([way, f"{np.isfinite(values).sum()} of {len(rows)}", *["-"] * 5])
            continue
        lines.append([
            way,
            f"{np.isfinite(values).sum()} of {len(rows)}",
            f"{difference.mean():+.2f}",
            f"{np.median(np.abs(difference)):.2f}",
            f"{np.abs(difference).mean():.2f}",
            f"{np.abs(difference).max():.2f}",
            f"{np.mean(np.abs(difference) > 0.05 * own[both]):.0%}",
        ])  # fmt: skip
    heads = ["", "measured", "mean, GPa", "median size", "mean size", "largest", "share above 5 %"]
    return str(tabulate(lines, heads, "github", disable_numparse=True))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    print(table(measured(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else GLASSES)))
