"""Makes the frozen reference of a dataset from its structures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ...metrics.metric import CurveMetric
from .. import registry
from ..datasets.dataset import Dataset
from ..datasets.definition import DatasetDefinition
from .descriptor_means import STANDARD_DESCRIPTORS
from .frozen_reference import REFERENCE_SPLITS, FrozenReference, chosen_structures
from .reference_values import DatasetValues

if TYPE_CHECKING:
    from ...metrics.design.inverse_design import TrainingLabels
    from .material_limits import MaterialLimits

PACKAGE = __name__.split(".")[0]


def frozen_metrics(definition: DatasetDefinition) -> tuple[str, ...]:
    """Names of the metrics with values in a frozen reference: all curves of this package that the material has, and
    the standard descriptors."""
    return (*(metric.name for metric in _curve_metrics(definition)), *STANDARD_DESCRIPTORS)


def _curve_metrics(definition: DatasetDefinition) -> list[CurveMetric]:
    metrics = []
    for name, cls in registry.usable("metrics").items():
        # a metric of another package may have changed where the file is read
        if issubclass(cls, CurveMetric) and cls.__module__.split(".")[0] == PACKAGE:
            metric = registry.load_metric(name, CurveMetric)
            if metric.applies_to(definition):
                metrics.append(metric)
    return metrics


def freeze_reference(
    dataset: Dataset,
    limits: MaterialLimits,
    packed: Mapping[str, np.ndarray],
    metric_code: Mapping[str, str],
) -> FrozenReference:
    """All reference values of a dataset.

    limits: measured on the dataset (``measure_material``)
    packed: arrays of the dataset's file (``read_packed``), whose positions are exact
    metric_code: hash of the code of each of ``frozen_metrics``
    """
    values = DatasetValues(dataset)
    labels: dict[str, TrainingLabels] = {}
    for name in dataset.property_names:
        try:
            labels[name] = values.labels(name)
        except AmsbenchError:  # no structure has a label
            continue
    train = dataset.indices("train")
    metrics = _curve_metrics(dataset.definition)
    return FrozenReference(
        dataset=dataset.definition.name,
        dataset_hash=dataset.content_hash,
        elements=tuple(dataset.definition.elements),
        limits=limits,
        structures=chosen_structures(packed, train),
        training_structures=len(train),
        fractions=values.fractions,
        curves={
            split: {metric.name: values.curve(metric, split) for metric in metrics}
            for split in REFERENCE_SPLITS
        },
        labels=labels,
        descriptors=values.descriptors(),
        metric_code=metric_code,
    )


def summary_lines(frozen: FrozenReference) -> Iterator[str]:
    """What a frozen reference holds, one sentence per line."""
    yield (
        f"reference {frozen.content_hash[:12]} of '{frozen.dataset}' ({frozen.dataset_hash[:12]}) with "
        f"{len(frozen.structures['counts'])} of {frozen.training_structures} training structures"
    )
    limits = frozen.limits
    for quantity, model in limits.models.items():
        yield f"{quantity}: standard deviation {model.deviation:.4g} about its composition's prediction"
    yield (
        f"overlap of a copy: {limits.overlap:.2f} or more; held-out structures: at most {limits.held_out_overlap:.2f}"
    )
