"""Where reference values come from: the structures of a dataset, or its frozen reference."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AmsbenchError
from ...metrics.composition import fraction_distance
from ...metrics.design.inverse_design import TrainingLabels
from ...metrics.structural_errors import FrozenCurve
from ..datasets.definition import DatasetDefinition, Split
from ..datasets.storage import load_dataset
from .descriptor_means import STANDARD_DESCRIPTORS, descriptor_means, element_fractions, structure_row
from .frozen_reference import FrozenReference, frozen_path, read_reference
from .material_limits import MaterialReference, measure_material, training_structures

if TYPE_CHECKING:
    from ...metrics.metric import CurveMetric
    from ..datasets.dataset import Dataset

DESCRIPTOR_SAMPLES = 200
"""Approximate number of training structures over which the descriptors of a dataset are averaged."""

_MATERIALS: dict[tuple[int, Path], MaterialReference] = {}
"""Materials of datasets with frozen limits, by the identity of the dataset, as long as it exists, and the file.

An index of the structures takes seconds to make, and every evaluation of a notebook needs it.
"""


class ReferenceValues(ABC):
    """Interface of the two origins of reference values.

    definition: of the dataset
    """

    definition: DatasetDefinition

    @abstractmethod
    def describe(self) -> str:
        """Origin of the values with its short hash, for reports."""

    @abstractmethod
    def curve(self, metric: CurveMetric, split: Split) -> FrozenCurve:
        """Mean curve of the structures of a split, and the variances for the noise floor."""

    @abstractmethod
    def labels(self, name: str) -> TrainingLabels:
        """Statistics of a property over the labelled structures of the training split, in the property's unit."""

    @abstractmethod
    def material(self, *, relaxed: bool) -> MaterialReference:
        """Limits of the material and the training structures that others are compared with.

        relaxed: whether limits of relaxed structures are needed, which take long if they have to be measured
        """

    @property
    @abstractmethod
    def fractions(self) -> np.ndarray:
        """Share of each element in each training structure, [s, e]."""

    @abstractmethod
    def descriptors(self, names: Sequence[str] = STANDARD_DESCRIPTORS) -> Mapping[str, float | None]:
        """Means of the descriptors over evenly chosen training structures (at most DESCRIPTOR_SAMPLES or so).

        ``composition_distance`` is that of the held-out structures, since generated ones are compared with it.
        """


class DatasetValues(ReferenceValues):
    """Reference values that are computed on the structures of a dataset, each when it is first needed."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.definition = dataset.definition
        self._materials: dict[bool, MaterialReference] = {}
        self._curves: dict[tuple[str, Split], FrozenCurve] = {}
        self._descriptors: dict[tuple[str, ...], dict[str, float | None]] = {}

    def describe(self) -> str:
        return f"data {self.dataset.content_hash[:12]}"

    def curve(self, metric: CurveMetric, split: Split) -> FrozenCurve:
        key = metric.name, split
        if key not in self._curves:
            part = self.dataset.split(split)
            population = None
            if len(np.unique(part.groups)) == 1:
                population = metric.curves(self.dataset), self.dataset.groups
            self._curves[key] = FrozenCurve.from_curves(
                metric.curves(part), part.groups, population=population
            )
        return self._curves[key]

    def labels(self, name: str) -> TrainingLabels:
        column = self.dataset.split("train").properties[:, self.dataset.property_names.index(name)]
        return TrainingLabels.of(column)

    def material(self, *, relaxed: bool) -> MaterialReference:
        if relaxed not in self._materials:
            self._materials[relaxed] = _material_of(self.dataset, relaxed=relaxed)
        return self._materials[relaxed]

    @cached_property
    def fractions(self) -> np.ndarray:
        return element_fractions(self.dataset.split("train"))

    def descriptors(self, names: Sequence[str] = STANDARD_DESCRIPTORS) -> Mapping[str, float | None]:
        if tuple(names) not in self._descriptors:
            train = self.dataset.indices("train")
            chosen = train[:: max(1, len(train) // DESCRIPTOR_SAMPLES)]
            rows = [structure_row(self.dataset.atoms(int(k)), self.definition, names) for k in chosen]
            means = descriptor_means(rows, self.definition, self.fractions, names)
            if "composition_distance" in means:
                held_out = element_fractions(self.dataset.split("test"))
                means["composition_distance"] = fraction_distance(held_out, self.fractions)
            self._descriptors[tuple(names)] = means
        return self._descriptors[tuple(names)]


class FrozenValues(ReferenceValues):
    """Reference values of a frozen reference, and of the dataset for what it does not hold.

    metric_code: hash of the installed code of a metric; a stored curve of other code is computed on the dataset
    """

    def __init__(
        self, frozen: FrozenReference, definition: DatasetDefinition, metric_code: Callable[[str], str]
    ) -> None:
        self.frozen = frozen
        self.definition = definition
        self._metric_code = metric_code
        self._computed: DatasetValues | None = None
        self._from_data: list[str] = []

    def describe(self) -> str:
        text = f"frozen reference {self.frozen.content_hash[:12]}"
        count = len(self.frozen.structures["counts"])
        if count < self.frozen.training_structures:
            text += f", which looks for copies of {count} of the {self.frozen.training_structures} training structures"
        if self._computed is not None:
            text += f", {' and '.join(self._from_data)} from the {self._computed.describe()}"
        return text

    def curve(self, metric: CurveMetric, split: Split) -> FrozenCurve:
        curve = self.frozen.curves[split].get(metric.name)
        if curve is None or not self._is_current([metric.name]):
            return self._of_data(metric.name).curve(metric, split)
        return curve

    def labels(self, name: str) -> TrainingLabels:
        labels = self.frozen.labels.get(name)
        return self._of_data(name).labels(name) if labels is None else labels

    def material(self, *, relaxed: bool) -> MaterialReference:
        return self.frozen.material

    @property
    def fractions(self) -> np.ndarray:
        return self.frozen.fractions

    def descriptors(self, names: Sequence[str] = STANDARD_DESCRIPTORS) -> Mapping[str, float | None]:
        if tuple(names) == STANDARD_DESCRIPTORS and self._is_current(names):
            return self.frozen.descriptors
        return self._of_data("descriptors").descriptors(names)

    def _is_current(self, metrics: Sequence[str]) -> bool:
        """Whether the installed code of the metrics is that of the stored values."""
        stored = self.frozen.metric_code
        return all(stored.get(name) == self._metric_code(name) for name in metrics)

    def _of_data(self, name: str) -> DatasetValues:
        """The values of the dataset itself; AmsbenchError if it is not there or is another one.

        name: of what the frozen reference lacks, for messages
        """
        lacks = f"the frozen reference of '{self.frozen.dataset}' has no values of this version of '{name}'"
        if self._computed is None:
            try:
                dataset = load_dataset(self.frozen.dataset)
            except AmsbenchError as error:
                raise AmsbenchError(f"{lacks}, and its data cannot be read: {error}") from error
            if dataset.content_hash != self.frozen.dataset_hash:
                raise AmsbenchError(
                    f"{lacks}, and {dataset.path} ({dataset.content_hash[:12]}) is not the data that it was made from "
                    f"({self.frozen.dataset_hash[:12]}); run 'amsbench data freeze {self.frozen.dataset}', or give the "
                    "file with --data"
                )
            self._computed = DatasetValues(dataset)
        if name not in self._from_data:
            self._from_data.append(name)
        return self._computed


def _material_of(dataset: Dataset, *, relaxed: bool) -> MaterialReference:
    """The material of a dataset: limits of its frozen reference if there is one, else measured now.

    relaxed: whether structures are relaxed if they are measured now
    """
    path = frozen_path(dataset.definition.name)
    key = id(dataset), path
    if key in _MATERIALS:
        return _MATERIALS[key]
    if path.is_file():
        frozen = read_reference(path)
        if frozen.dataset_hash == dataset.content_hash:
            # the file has a part of the structures of large datasets
            _MATERIALS[key] = MaterialReference(limits=frozen.limits, structures=training_structures(dataset))
            weakref.finalize(dataset, _MATERIALS.pop, key, None)
            return _MATERIALS[key]
    return measure_material(dataset, relaxed=relaxed)
