"""``check_metric``: declarations, finite values, and invariance under equivalent descriptions of a structure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..metrics.distribution_functions import Curves
from ..metrics.metric import CurveMetric, Metric, PropertyMetric, StructureMetric
from ..metrics.potentials.potential import EvaluationFailed
from .checks import CheckFailed
from .synthetic import synthetic_dataset

TOLERANCE = 1e-6
"""Largest relative difference between the values of two equivalent descriptions of a structure, due to rounding."""


def check_metric(metric_class: type[Metric]) -> None:
    """Check a metric class on random packings and crystals of one and two elements; raise CheckFailed for a fault.

    Checked: it is a CurveMetric, StructureMetric or PropertyMetric and declares name, title, unit, direction, rationale
    and evidence; it returns exactly the quantities that it declares (or curves on one grid), as finite numbers; they
    are unchanged under translation, permutation and shifts by lattice vectors, and in a second measurement; a structure
    without atoms gives EvaluationFailed or numbers, and no other error; a metric of curves accepts a Dataset, from
    which references are computed, as well as a list of ASE Atoms.
    """
    if not issubclass(metric_class, CurveMetric | StructureMetric | PropertyMetric):
        raise CheckFailed(
            f"{metric_class.__name__} derives from none of CurveMetric, StructureMetric, PropertyMetric"
        )
    metric = metric_class()
    for attribute in ("name", "title", "unit", "direction", "rationale", "evidence", "version"):
        if getattr(metric, attribute, None) is None:
            raise CheckFailed(f"{metric_class.__name__} does not declare '{attribute}'")
    if isinstance(metric, PropertyMetric):
        return  # its values are those of the datasets, which check_dataset checks
    if isinstance(metric, CurveMetric):
        _check_dataset(metric)
    for material, structures in _cases():
        for name, structure in structures.items():
            values = _values(metric, structure, material)
            if any(not np.isfinite(value).all() for value in values.values()):
                raise CheckFailed(f"'{metric.name}' of {name} is not finite: {values}")
            for change, other in _rewritten(structure).items():
                again = _values(metric, other, material)
                if again.keys() != values.keys() or any(
                    not np.allclose(again[key], values[key], rtol=TOLERANCE, atol=TOLERANCE) for key in values
                ):
                    raise CheckFailed(
                        f"'{metric.name}' of {name} changes when {change}: {values} becomes {again}"
                    )
        if isinstance(metric, StructureMetric):
            _check_empty(metric, material)


def _values(metric: Metric, atoms: Any, material: Any) -> dict[str, np.ndarray]:
    if isinstance(metric, CurveMetric):
        curves = metric.curves([atoms, atoms])
        if not isinstance(curves, Curves) or curves.values.shape != (2, len(curves.grid)):
            raise CheckFailed(f"'{metric.name}' returns no Curves with one row per structure")
        if not np.array_equal(curves.values[0], curves.values[1]):
            raise CheckFailed(f"'{metric.name}' returns different curves for two copies of one structure")
        return {"curve": curves.values[0]}
    assert isinstance(metric, StructureMetric)
    declared = [quantity.name for quantity in metric.quantities(material)]
    values = metric.measure(atoms.copy(), material)
    if sorted(values) != sorted(declared):
        raise CheckFailed(f"'{metric.name}' declares the quantities {declared} and returns {sorted(values)}")
    columns = {name: np.array([value, value]) for name, value in {**_atom_count(atoms), **values}.items()}
    summary = metric.summary(columns, material)
    if any(value is not None and not np.isfinite(value) for value in summary.values()):
        raise CheckFailed(f"the summary of '{metric.name}' is not finite: {summary}")
    return {name: np.asarray(value, dtype=float) for name, value in values.items()}


def _change(values: dict[str, np.ndarray], again: dict[str, np.ndarray]) -> str:
    """The numbers before and after, where they are few enough to read."""
    if any(value.ndim for value in (*values.values(), *again.values())):
        return ""
    first, second = (
        ", ".join(f"{name} {float(value):.6g}" for name, value in part.items()) for part in (values, again)
    )
    return f": {first} becomes {second}"


def _atom_count(atoms: Any) -> dict[str, float]:
    """The descriptor ``atoms``, which summaries of metrics may read."""
    return {"atoms": float(len(atoms))}


def _rewritten(atoms: Any) -> dict[str, Any]:
    """Equivalent descriptions of the structure, by the change that leads to each."""
    rng = np.random.default_rng(2)
    moved = atoms.copy()
    moved.positions += [0.7, -0.4, 1.3]
    wrapped = atoms.copy()
    wrapped.positions += rng.integers(-1, 2, size=(len(atoms), 3)) @ atoms.cell.array
    return {
        "it is measured a second time": atoms,
        "all atoms are moved together": moved,
        "atoms are listed in another order": atoms[rng.permutation(len(atoms))],
        "atoms are moved by lattice vectors": wrapped,
    }


def _check_empty(metric: StructureMetric, material: Any) -> None:
    from ase import Atoms

    try:
        metric.measure(Atoms(cell=[8.0] * 3, pbc=True), material)
    except EvaluationFailed:
        return
    except Exception as error:
        raise CheckFailed(
            f"'{metric.name}' of a structure without atoms raises {type(error).__name__} ({error}); "
            "raise EvaluationFailed with the reason, or return numbers"
        ) from error


def _check_dataset(metric: CurveMetric) -> None:
    dataset = synthetic_dataset(3)
    try:
        values = metric.curves(dataset).values
    except Exception as error:
        raise CheckFailed(
            f"'{metric.name}' of a Dataset raises {type(error).__name__} ({error}); go through the structures with "
            "'for atoms in structures', which works for a Dataset and for a list of Atoms"
        ) from error
    expected = metric.curves(list(dataset)).values
    if values.shape != expected.shape or not np.allclose(values, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise CheckFailed(f"'{metric.name}' of a Dataset is not that of the same structures as ASE Atoms")


def _cases() -> list[tuple[Any, dict[str, Any]]]:
    """Materials of one and two elements, each with a crystal and a random packing of its atoms."""
    from ase import Atoms
    from ase.build import bulk

    rng = np.random.default_rng(1)

    def packing(symbols: list[str], edge: float) -> Atoms:
        grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[: len(symbols)]
        places = (grid + 0.5 + rng.uniform(-0.15, 0.15, (len(symbols), 3))) / 3
        return Atoms(symbols, scaled_positions=places, cell=np.diag([edge] * 3), pbc=True)

    def energy(atoms: Atoms) -> tuple[float, float]:
        return -float(len(atoms)) / atoms.get_volume(), 1.0

    def rattled(crystal: Atoms) -> Atoms:
        """The crystal with small random displacements, so that no distance or angle is at the edge of a bin."""
        crystal.rattle(0.05, seed=3)
        return crystal

    one = SimpleNamespace(elements=("Si",), formal_charges=None, potential=None, energy=energy)
    two = SimpleNamespace(
        elements=("Mg", "O"), formal_charges={"Mg": 2, "O": -2}, potential=None, energy=energy
    )
    return [
        (
            one,
            {
                "diamond": rattled(bulk("Si", "diamond", a=5.43, cubic=True)),
                "a packing of 27 atoms": packing(["Si"] * 27, 8.0),
            },
        ),
        (
            two,
            {
                "rock salt": rattled(bulk("MgO", "rocksalt", a=4.21, cubic=True)),
                "a packing of 26 atoms": packing(["Mg", "O"] * 13, 7.0),
            },
        ),
    ]
