"""Tests of plug-ins: named checks of the contracts of methods, datasets and metrics, and synthetic data.

>>> from amsbench.testing import check_method
>>> from amsbench.methods.material_ode import MaterialODE
>>> results = check_method(MaterialODE, config={"network": {"hidden": 32, "layers": 2}}, only=["evaluations_grow"])
>>> [(result.name, result.outcome) for result in results]
[('evaluations_grow', 'passed')]
"""

from .check_dataset import check_dataset, dataset_checks
from .check_method import check_method, checks
from .check_metric import check_metric
from .checks import Check, CheckFailed, CheckResult
from .method_probe import TASKS
from .synthetic import SyntheticGlass, synthetic_dataset

__all__ = [
    "TASKS",
    "Check",
    "CheckFailed",
    "CheckResult",
    "SyntheticGlass",
    "check_dataset",
    "check_method",
    "check_metric",
    "checks",
    "dataset_checks",
    "synthetic_dataset",
]
