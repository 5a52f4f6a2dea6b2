"""Result cells made by hand, with numbers that the tests know."""

from collections.abc import Callable
from typing import Any

import pytest

from amsbench.benchmark.evaluation.structural_scores import StructuralScores
from amsbench.benchmark.runs.results import Environment, Result, ResultKey

TARGETS = {"shear_modulus": (10.0, 50.0)}


def make_key(**changes: Any) -> ResultKey:
    values: dict[str, Any] = {
        "dataset": "asi",
        "dataset_hash": "d" * 64,
        "method": "material-sde",
        "checkpoint_hash": "c" * 64,
        "sampler": "euler-maruyama",
        "steps": 1,
        "kind": "structural",
        "plan": "structure",
        "protocol": "quick",
        "protocol_version": 1,
        "metrics_version": "1",
        "count": 64,
        "targets": {},
        "cube": None,
        "precision": "float32",
        "seed": 0,
    }
    return ResultKey(**values | changes)


def make_result(key: ResultKey, **changes: Any) -> Result:
    environment = {
        "amsbench": "0.1.0",
        "python": "3.12",
        "torch": "2.13",
        "lammps": None,
        "platform": "Linux",
        "device": "x86_64 CPU",
        "threads": 1,
        "native": "torch",
    }
    values: dict[str, Any] = {
        "key": key,
        "mode": "SDE",
        "trained_on": (),
        "conditioned_on": tuple(key.targets),
        "seconds": 1.0,
        "evaluations": key.steps,
        "measuring_seconds": 1.0,
        "structural": None,
        "inverse_design": {},
        "substance": {"atoms": 256.0, "density": 2.41, "density_std": 0.02, "minimum_distance": 2.1},
        "training_set": {"atoms": 256.0, "density": 2.40, "density_std": 0.03, "minimum_distance": 2.2},
        "failures": {},
        "training": {},
        "environment": Environment(**environment | changes.pop("environment", {})),
    }
    return Result(**values | changes)


@pytest.fixture
def structural() -> Callable[..., Result]:
    """A structural cell: ``structural(0.3, 0.001, steps=5)``; intervals of +- 10 % by default."""

    def make(rdf: float, adf: float, spread: float = 0.1, **changes: Any) -> Result:
        own = {name: changes.pop(name) for name in list(changes) if name not in ResultKey.model_fields}
        numbers: dict[str, Any] = {"reference": own.pop("reference", "test")}
        for name, value, floor, ceiling in (("rdf", rdf, 0.0132, 0.69), ("adf", adf, 0.00014, 0.00285)):
            numbers |= {
                f"{name}_rmsd": value,
                f"{name}_low": value * (1 - spread),
                f"{name}_high": value * (1 + spread),
                f"{name}_floor": floor,
                f"{name}_corrected": max(value**2 - floor**2, 0.0) ** 0.5,
                f"{name}_ceiling": ceiling,
                f"{name}_wasserstein": 10 * value,
            }
        return make_result(make_key(**changes), structural=StructuralScores(**numbers), **own)

    return make


@pytest.fixture
def inverse() -> Callable[..., Result]:
    """An inverse-design cell on ``asio2``: ``inverse(mae, rmse, mape, steps=5)``."""

    def make(
        mae: float | None, rmse: float | None, mape: float | None, spread: float = 0.1, **changes: Any
    ) -> Result:
        own = {name: changes.pop(name) for name in list(changes) if name not in ResultKey.model_fields}
        requested, measured = own.pop("requested", 50), own.pop("measured", 50)
        charged, spearman = own.pop("charged", mae), own.pop("spearman", 0.9)
        targets = changes.get("targets", TARGETS)
        errors: dict[str, float | int | None] = {
            "requested": requested,
            "measured": measured,
            "coverage": 100 * measured / requested,
            "mae": mae,
            "rmse": rmse,
            "mape": mape,
            "penalised_mae": charged,
            "training_mean_mae": 11.25,
            "spearman": spearman,
            "spearman_low": None if spearman is None else spearman - 0.05,
            "spearman_high": None if spearman is None else spearman + 0.05,
        }
        for name, value in (("mae", mae), ("rmse", rmse), ("penalised_mae", charged)):
            errors[f"{name}_low"] = None if value is None else value * (1 - spread)
            errors[f"{name}_high"] = None if value is None else value * (1 + spread)
        if spearman is not None:
            errors |= {"shuffled_correlation": 0.01, "shuffled_low": -0.28, "shuffled_high": 0.27}
            errors |= {"shuffled_mae": 14.5, "shuffled_p_value": 0.001}
        key = make_key(
            **{
                "dataset": "asio2",
                "kind": "inverse-design",
                "plan": "shear_modulus",
                "targets": targets,
                "cube": 18.0,
                "count": requested,
            }
            | changes
        )
        substance = {"atoms": 380.0, "density": 2.31, "density_std": 0.06, "minimum_distance": 1.43}
        own.setdefault(
            "substance", substance | {"fraction_Si": 0.34, "fraction_O": 0.66, "energy_per_atom": -6.1}
        )
        own.setdefault(
            "training_set",
            substance | {"fraction_Si": 1 / 3, "fraction_O": 2 / 3, "energy_per_atom": -6.48},
        )
        own.setdefault("trained_on", ("shear_modulus", "ring_size"))
        return make_result(key, inverse_design=dict.fromkeys(targets, errors), **own)

    return make
