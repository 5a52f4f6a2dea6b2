"""Public interface for plug-ins: all classes and functions with which methods, datasets and metrics are written.

>>> from amsbench.benchmark import Method, NoiseSource, Structures, Task, neighbour_graph

Names are imported when they are first used. What is not listed in ``__all__`` may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..errors import AmsbenchError
    from ..methods.amshortcut import AMShortcut, Shortcut
    from ..methods.conditioning import FlexiblePropertyEmbedding, with_hidden_labels
    from ..methods.denoiser import FlexibleDenoiser
    from ..methods.egnn.config import EGNNConfig
    from ..methods.egnn.derivatives import differentiable, differentiable_neighbour_graph
    from ..methods.egnn.network import EGNN
    from ..methods.material_ode import MaterialODE
    from ..methods.material_sde import MaterialSDE
    from ..methods.processes import ElementProcess, PositionProcess
    from ..methods.samplers import MaterialSampler
    from ..methods.state import Prediction, State
    from ..metrics.distribution_functions import Curves
    from ..metrics.metric import CurveMetric, Material, Metric, PropertyMetric, Quantity, StructureMetric
    from ..metrics.potentials.potential import EvaluationFailed
    from .datasets.definition import (
        DatasetDefinition,
        Measurement,
        Property,
        RelaxationFailure,
        RelaxedStructure,
        SimulationFailed,
    )
    from .execution.dask_pool import dask_pool
    from .interface.evaluation_plan import EvaluationPlan, inverse_design_plans, structural_plan
    from .interface.method import Method, ProductType
    from .interface.method_card import MethodCard
    from .interface.neighbour_graph import Graph, neighbour_graph
    from .interface.noise import NoiseSource
    from .interface.sampler import Sampler
    from .interface.structures import Structures, cartesian, fractional, minimum_image
    from .interface.task import Task
    from .runs.non_learned import NonLearnedBaseline, TaskBaseline

_HOMES = {
    "..errors": ("AmsbenchError",),
    # a method
    ".interface.method": ("Method", "ProductType"),
    ".interface.method_card": ("MethodCard",),
    ".interface.neighbour_graph": ("Graph", "neighbour_graph"),
    ".interface.noise": ("NoiseSource",),
    ".interface.sampler": ("Sampler",),
    ".interface.structures": ("Structures", "cartesian", "fractional", "minimum_image"),
    ".interface.task": ("Task",),
    # components of the package's methods, for reuse in other methods
    "..methods.conditioning": ("FlexiblePropertyEmbedding", "with_hidden_labels"),
    "..methods.denoiser": ("FlexibleDenoiser",),
    "..methods.egnn.config": ("EGNNConfig",),
    "..methods.egnn.derivatives": ("differentiable", "differentiable_neighbour_graph"),
    "..methods.egnn.network": ("EGNN",),
    "..methods.processes": ("ElementProcess", "PositionProcess"),
    "..methods.state": ("Prediction", "State"),
    # methods of the package, for classes that add samplers to them
    "..methods.amshortcut": ("AMShortcut", "Shortcut"),
    "..methods.material_ode": ("MaterialODE",),
    "..methods.material_sde": ("MaterialSDE",),
    "..methods.samplers": ("MaterialSampler",),
    # a dataset
    ".datasets.definition": (
        "DatasetDefinition",
        "Measurement",
        "Property",
        "RelaxationFailure",
        "RelaxedStructure",
        "SimulationFailed",
    ),
    ".interface.evaluation_plan": ("EvaluationPlan", "inverse_design_plans", "structural_plan"),
    # where simulations and measurements run
    ".execution.dask_pool": ("dask_pool",),
    # a metric
    "..metrics.distribution_functions": ("Curves",),
    "..metrics.metric": (
        "CurveMetric",
        "Material",
        "Metric",
        "PropertyMetric",
        "Quantity",
        "StructureMetric",
    ),
    "..metrics.potentials.potential": ("EvaluationFailed",),
    # a baseline that is not trained
    ".runs.non_learned": ("NonLearnedBaseline", "TaskBaseline"),
}

__all__ = [
    "EGNN",
    "AMShortcut",
    "AmsbenchError",
    "CurveMetric",
    "Curves",
    "DatasetDefinition",
    "EGNNConfig",
    "ElementProcess",
    "EvaluationFailed",
    "EvaluationPlan",
    "FlexibleDenoiser",
    "FlexiblePropertyEmbedding",
    "Graph",
    "Material",
    "MaterialODE",
    "MaterialSDE",
    "MaterialSampler",
    "Measurement",
    "Method",
    "MethodCard",
    "Metric",
    "NoiseSource",
    "NonLearnedBaseline",
    "PositionProcess",
    "Prediction",
    "ProductType",
    "Property",
    "PropertyMetric",
    "Quantity",
    "RelaxationFailure",
    "RelaxedStructure",
    "Sampler",
    "Shortcut",
    "SimulationFailed",
    "State",
    "StructureMetric",
    "Structures",
    "Task",
    "TaskBaseline",
    "cartesian",
    "dask_pool",
    "differentiable",
    "differentiable_neighbour_graph",
    "fractional",
    "inverse_design_plans",
    "minimum_image",
    "neighbour_graph",
    "structural_plan",
    "with_hidden_labels",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
