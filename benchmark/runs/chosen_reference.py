"""The reference that structures of any origin are scored against: frozen where there is one, else the data."""

from __future__ import annotations

from ...errors import AmsbenchError
from .. import registry
from ..datasets.dataset import Dataset
from ..datasets.storage import load_dataset
from ..evaluation.frozen_reference import frozen_path, read_reference
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
