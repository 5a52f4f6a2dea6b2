"""What a sampler returned, checked before it is believed: samplers may be anybody's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import AmsbenchError
from ..interface.method import Method
from ..interface.structures import Structures


def check_returned(returned: Any, start: Structures, method: Method, sampler: str) -> Structures:
    """The structures that a sampler returned for ``start``.

    AmsbenchError if they are none, are others in number or size, or have elements that the task does not. Positions and
    cells may be of any value: evaluation counts structures that are none as failures.
    """
    wrong = _what_is_wrong(returned, start, method)
    if wrong is not None:
        raise AmsbenchError(
            f"the sampler '{sampler}' of method '{method.name}' returned {wrong}; correct its method 'sample', which "
            "'amsbench.testing.check_method' tests"
        )
    structures: Structures = returned
    return structures


def _what_is_wrong(returned: Any, start: Structures, method: Method) -> str | None:
    """What is wrong, for a sentence; None if nothing is."""
    if not isinstance(returned, Structures):
        return f"{type(returned).__name__} instead of Structures"
    atoms, samples = len(start.species), len(start)
    shapes = {
        "positions": (atoms, 3),
        "cells": (samples, 3, 3),
        "species": (atoms,),
        "batch": (atoms,),
        "counts": (samples,),
    }
    for name, shape in shapes.items():
        value = getattr(returned, name)
        if not isinstance(value, Tensor) or tuple(value.shape) != shape:
            found = (
                f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"({type(value).__name__})"
            )
            return f"{name} {found} instead of a tensor of shape {shape}"
    for name in ("positions", "cells"):
        if not getattr(returned, name).is_floating_point():
            return f"{name} of type {getattr(returned, name).dtype} instead of floating-point numbers"
    for name in ("species", "counts"):
        if getattr(returned, name).dtype != torch.long:
            return f"{name} of type {getattr(returned, name).dtype} instead of {torch.long}"
    if not torch.equal(returned.counts, start.counts):
        return "structures with other numbers of atoms and ghosts than it was given"
    kinds = method.task.species_count
    if atoms and not 0 <= int(returned.species.min()) <= int(returned.species.max()) < kinds:
        return f"a species that is not among 0 to {kinds - 1}"
    return None
