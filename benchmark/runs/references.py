"""References of datasets: the choice between a frozen one and the data, and the making of frozen ones."""

from __future__ import annotations

from pathlib import Path

from ...errors import AmsbenchError
from .. import registry
from ..datasets.dataset import Dataset
from ..datasets.storage import load_dataset, read_packed
from ..evaluation.freezing import freeze_reference, frozen_metrics
from ..evaluation.frozen_reference import FrozenReference, frozen_path, read_reference
from ..evaluation.material_limits import MaterialLimits
from ..evaluation.reference import Reference
from ..evaluation.reference_values import FrozenValues
from .current_code import metric_codes


def reference_for(dataset: Dataset | str) -> Reference:
    """Reference of the held-out structures of a dataset, which is computed, or of a name: frozen if there is a file.

    Raises AmsbenchError for an unknown name, for a file of this name that is damaged, edited or of other elements,
    and if there are neither a file nor data.
    """
    if isinstance(dataset, Dataset):
        return Reference(dataset)
    path = frozen_path(dataset)
    if dataset not in registry.names("datasets") or not path.is_file():
        return Reference(load_dataset(dataset))
    definition = registry.load("datasets", dataset)()
    frozen = read_reference(path)
    if (frozen.dataset, frozen.elements) != (dataset, tuple(definition.elements)):
        raise AmsbenchError(
            f"{path} is the reference of '{frozen.dataset}' with {', '.join(frozen.elements)}, but '{dataset}' has "
            f"{', '.join(definition.elements)}; make it again with 'amsbench data freeze {dataset}'"
        )
    return Reference(
        FrozenValues(frozen, definition, lambda name: metric_codes(definition, [name], [])[name])
    )


def make_frozen(dataset: Dataset, limits: MaterialLimits, path: Path) -> FrozenReference:
    """Write the frozen reference of a dataset, which was read from a file, and return it.

    limits: measured on the dataset (``measure_material``)
    """
    codes = metric_codes(dataset.definition, frozen_metrics(dataset.definition), ())
    frozen = freeze_reference(dataset, limits, read_packed(Path(dataset.path))[0], codes)
    frozen.write(path)
    return frozen


def limits_in(path: Path, dataset: Dataset) -> MaterialLimits:
    """The limits in a frozen reference; AmsbenchError if there is none, and for one that was made from other data."""
    frozen = read_reference(path)
    if frozen.dataset_hash != dataset.content_hash:
        raise AmsbenchError(
            f"the limits in {path} are those of other data ({frozen.dataset_hash[:12]}) than {dataset.path} "
            f"({dataset.content_hash[:12]}); measure them without --keep-limits"
        )
    return frozen.limits
