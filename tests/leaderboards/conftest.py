"""Result results made by hand, with numbers that the tests know."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from amsbench.benchmark.evaluation.structural_scores import CurveScores, StructuralScores
from amsbench.benchmark.runs.results import Environment, Result, ResultKey
from amsbench.leaderboards.reported_values import SAMPLERS
from amsbench.leaderboards.result_folders import PUBLISHED, ResultFolders
from amsbench.metrics.bootstrap import Interval
from amsbench.metrics.design.hits import HitScores, hit_scores
from amsbench.metrics.design.inverse_design import InverseDesignErrors, ShuffledControl, TrainingLabels

TARGETS = {"shear_modulus": (10.0, 50.0)}

LABELS = TrainingLabels(mean=24.0, standard_deviation=3.0, low=0.0, high=60.0)
WORST = 30.0
SHUFFLED = ShuffledControl(
    correlation=0.01, low=-0.28, high=0.27, p_value=0.001, mae=14.5, level=0.95, permutations=1000
)


def interval(value: float | None, spread: float) -> Interval | None:
    if value is None:
        return None
    return Interval(
        value=value, low=value * (1 - spread), high=value * (1 + spread), level=0.95, samples=1000
    )


def make_key(**changes: Any) -> ResultKey:
    values: dict[str, Any] = {
        "dataset": "asi",
        "dataset_hash": "d" * 64,
        "method": "material-sde",
        "checkpoint_hash": "c" * 64,
        "code": "a" * 64,
        "sampler": SAMPLERS.get(changes.get("method", "material-sde"), "own"),
        "steps": 1,
        "kind": "structural",
        "plan": "structure",
        "protocol": "quick",
        "protocol_version": 1,
        "metrics_version": "1",
        "count": 64,
        "targets": {},
        "cube": None,
        "precision": "bfloat16",
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
        "device": "AMD EPYC 9R14, x86_64",
        "threads": 1,
        "native": "torch",
    }
    values: dict[str, Any] = {
        "key": key,
        "step_label": "SDE",
        "trained_on": (),
        "conditioned_on": tuple(key.targets),
        "seconds": 1.0,
        "evaluations": key.steps,
        "measuring_seconds": 1.0,
        "cpu_seconds": None,
        "measuring_cpu_seconds": 40.0,
        "structural": None,
        "inverse_design": {},
        "hits": None,
        "descriptors": {"atoms": 256.0, "density": 2.41, "density_std": 0.02, "minimum_distance": 2.1},
        "training_descriptors": {
            "atoms": 256.0,
            "density": 2.40,
            "density_std": 0.03,
            "minimum_distance": 2.2,
        },
        "failures": {},
        "metric_code": {},
        "files": {},
        "training": {},
        "environment": Environment(**environment | changes.pop("environment", {})),
    }
    return Result(**values | changes)


@pytest.fixture(scope="session")
def published() -> ResultFolders:
    """The published results with the files beside them."""
    return ResultFolders([PUBLISHED])


@pytest.fixture(scope="session")
def published_results(published) -> list[Result]:
    return published.results()


@pytest.fixture
def structural() -> Callable[..., Result]:
    """A structural result: ``structural(0.3, 0.001, steps=5)``; intervals of +- 10 % by default."""

    def make(rdf: float, adf: float, spread: float = 0.1, **changes: Any) -> Result:
        own = {name: changes.pop(name) for name in list(changes) if name not in ResultKey.model_fields}
        reference = own.pop("reference", "test")
        single = changes.get("count") == 1  # one structure has no interval
        curves = {
            name: CurveScores(
                rmsd=value,
                low=None if single else value * (1 - spread),
                high=None if single else value * (1 + spread),
                floor=floor,
                corrected=max(value**2 - floor**2, 0.0) ** 0.5,
                ceiling=ceiling,
                wasserstein=10 * value,
            )
            for name, value, floor, ceiling in (
                ("rdf", rdf, 0.0132, 0.69),
                ("adf", adf, 0.00014, 0.00285),
            )
        }
        scores = StructuralScores(reference=reference, curves=curves, means={})
        return make_result(make_key(**changes), structural=scores, **own)

    return make


@pytest.fixture
def inverse() -> Callable[..., Result]:
    """An inverse-design result on ``asio2``: ``inverse(mae, rmse, mape, steps=5)``.

    Every failed structure costs ``WORST``, that of every target in the middle of the training labels.
    """

    def make(
        mae: float | None, rmse: float | None, mape: float | None, spread: float = 0.1, **changes: Any
    ) -> Result:
        own = {name: changes.pop(name) for name in list(changes) if name not in ResultKey.model_fields}
        requested, measured = own.pop("requested", 50), own.pop("measured", 50)
        charged = (measured * (mae or 0.0) + (requested - measured) * WORST) / requested
        penalised, spearman = own.pop("penalised", charged), own.pop("spearman", 0.9)
        targets = changes.get("targets", TARGETS)
        errors = InverseDesignErrors(
            requested=requested,
            measured=measured,
            coverage=100 * measured / requested,
            mae=mae,
            rmse=rmse,
            mape=mape,
            penalised_mae=penalised,
            worst_mae=WORST,
            training=LABELS,
            training_mean_mae=11.25,
            mae_interval=interval(mae, spread),
            rmse_interval=interval(rmse, spread),
            penalised_mae_interval=interval(penalised, spread),
            spearman=spearman,
            spearman_low=None if spearman is None else spearman - 0.05,
            spearman_high=None if spearman is None else spearman + 0.05,
            shuffled=None if spearman is None else SHUFFLED,
        )
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
        descriptors = {"atoms": 380.0, "density": 2.31, "density_std": 0.06, "minimum_distance": 1.43}
        own.setdefault(
            "descriptors", descriptors | {"fraction_Si": 0.34, "fraction_O": 0.66, "energy_per_atom": -6.1}
        )
        own.setdefault(
            "training_descriptors",
            descriptors | {"fraction_Si": 1 / 3, "fraction_O": 2 / 3, "energy_per_atom": -6.48},
        )
        own.setdefault("trained_on", ("shear_modulus", "ring_size"))
        return make_result(key, inverse_design=dict.fromkeys(targets, errors), **own)

    return make


@pytest.fixture
def hits() -> Callable[..., HitScores]:
    """Hit scores: ``hits(10)`` are 10 of 50 requests, with 40 measured, 30 right, 49 novel, 20 within tolerance."""

    def make(number: int, requested: int = 50) -> HitScores:
        order = np.arange(requested)
        conditions = {
            "measured": order < 40,
            "right_substance": order < 30,
            "novel": order != requested - 1,
            # the others within the tolerance are at the end, where nothing is of the right substance
            "within_tolerance": (order < number) | (order >= requested - (20 - number)),
        }
        scores = hit_scores(conditions, {"shear_modulus": 1.5})
        assert scores.hits == number
        return scores

    return make
