"""How much does the shear modulus of a silica glass depend on minimiser and strain? The table of docs/datasets.md.

    python docs/studies/minimiser_of_moduli.py run [CORES]
    python docs/studies/minimiser_of_moduli.py table

``run`` measures 50 glasses that are evenly spaced in the dataset ``asio2``: relaxation of atoms and cell, then finite
strains, by each of ``WAYS``. Every modulus is kept in minimiser_of_moduli.json beside this file, and a further call
computes those that are missing. ``table`` writes the differences from the way of the labels, LBFGS and 1 %.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import FIRE, LBFGS
from ase.optimize.sciopt import OptimizerConvergenceError, SciPyFminCG
from stored_table import StoredTable, run_study
from tabulate import tabulate

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.execution.local_pool import local_pool
from amsbench.benchmark.execution.task_map import TaskLost, completed_tasks
from amsbench.errors import AmsbenchError
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
STORED = StoredTable("minimiser_of_moduli", "datasets.md", "minimisers")


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


def shear_modulus(atoms: Atoms, way: str) -> float | None:
    """Shear modulus in GPa, or None where a relaxation does not converge or a shear constant is not positive."""
    kind, strain, fmax = WAYS[way]
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


def stored() -> list[dict[str, Any]]:
    """A row per glass: its index in the dataset, its label, and its modulus by each way, in GPa."""
    return STORED.numbers() or []


def run(cores: int) -> None:
    """Measure what is not stored; each modulus is stored when it is known."""
    dataset = load_dataset("asio2")
    rows = {row["glass"]: row for row in stored()}
    for glass in np.linspace(0, len(dataset) - 1, GLASSES).round().astype(int).tolist():
        rows.setdefault(glass, {"glass": glass, "label": dataset.atoms(glass).info.get("shear_modulus")})
    missing = [(glass, way) for way in WAYS for glass, row in rows.items() if way not in row]
    with local_pool(cores) as pool:
        jobs = ((dataset.atoms(glass), way) for glass, way in missing)
        for number, _, modulus in completed_tasks(shear_modulus, jobs, pool, limit=None):
            glass, way = missing[number]
            if isinstance(modulus, TaskLost):
                raise AmsbenchError(f"glass {glass} by {way}: {modulus.reason}")
            rows[glass][way] = modulus
            STORED.store(list(rows.values()))
            print(glass, way, modulus, rows[glass]["label"], file=sys.stderr, flush=True)


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


def main(arguments: list[str]) -> None:
    match arguments:
        case ["run"]:
            run(1)
        case ["run", cores] if cores.isdecimal() and int(cores):
            run(int(cores))
        case ["table"]:
            STORED.write(table(stored()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    run_study(main)
