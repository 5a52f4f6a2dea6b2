"""Mean curves of a result beside those of the reference, with the noise floor as a band."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..benchmark import registry
from ..benchmark.evaluation.evaluate import STANDARD_CURVES, applicable_curves
from ..benchmark.evaluation.reference import Reference
from ..benchmark.evaluation.reference_values import DatasetValues, FrozenValues
from ..benchmark.evaluation.unmeasurable import unmeasurable
from ..benchmark.interface.evaluation_plan import reference_split
from ..benchmark.runs.references import reference_for
from ..benchmark.runs.results import Result, ResultFiles, ResultKey
from ..benchmark.runs.stored_structures import stored_structures

if TYPE_CHECKING:
    from ..metrics.metric import CurveMetric

SHOWN = (*STANDARD_CURVES, "sq")
"""Curves of the page, of those that apply to a material."""
DIGITS = 5
"""Digits of the values of a curve on the page."""


class CurveOverlay:
    """Curves of the results of one comparison, and of the reference that they are scored against."""

    def __init__(self, key: ResultKey, files: ResultFiles) -> None:
        self.key = key
        self.files = files

    @cached_property
    def reference(self) -> Reference | None:
        """The reference; None where the dataset is not installed, or other data of its name are."""
        if self.key.dataset not in registry.names("datasets"):
            return None
        values = reference_for(self.key.dataset).values
        stored = None
        if isinstance(values, FrozenValues):
            stored = values.frozen.dataset_hash
        elif isinstance(values, DatasetValues):
            stored = values.dataset.content_hash
        if stored != self.key.dataset_hash:
            return None
        return Reference(values, split=reference_split(self.key.protocol))

    @cached_property
    def metrics(self) -> Sequence[CurveMetric]:
        """The curves of the page that apply to the material; none without a reference."""
        return applicable_curves(SHOWN, self.reference.definition) if self.reference else ()

    def reference_data(self) -> list[dict[str, Any]]:
        """Name, axis, grid, mean and band of each curve.

        The band is the mean plus and minus the standard deviation of the mean curve of as many structures of a perfect
        generator; its root mean square over the grid is the noise floor.
        """
        data = []
        for metric in self.metrics:
            assert self.reference is not None
            curve = self.reference.curve(metric)
            spread = np.sqrt(curve.variance / self.key.count + curve.mean_variance)
            data.append(
                {
                    "name": metric.name,
                    "head": metric.head,
                    "title": metric.title,
                    "axis": metric.axis,
                    "grid": rounded(curve.grid),
                    "mean": rounded(curve.mean),
                    "spread": rounded(spread),
                }
            )
        return data

    def curves_of(self, result: Result) -> dict[str, list[float | None]]:
        """The mean curves of the measurable structures of a result.

        They are those of its stored structures, or those that were stored with its scores; nothing where it has
        neither. AmsbenchError for a file that is damaged or not the one that was stored with the result.
        """
        if not self.metrics:
            return {}
        assert self.reference is not None
        definition = self.reference.definition
        structures = stored_structures(self.files, result)
        usable = [atoms for atoms in structures or () if unmeasurable(atoms, definition) is None]
        if usable:
            return {metric.name: rounded(metric.curves(usable).mean) for metric in self.metrics}
        scores = result.structural
        return {
            metric.name: rounded(np.array(scores.means[metric.name]))
            for metric in self.metrics
            if scores and metric.name in scores.means and scores.curves[metric.name].version == metric.version
        }


def rounded(values: np.ndarray, digits: int = DIGITS) -> list[float | None]:
    """Numbers with so many significant digits; None for those that are not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]
