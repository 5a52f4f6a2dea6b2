"""Checks of arguments that people write in scripts and notebooks: one sentence instead of an error from within."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError

if TYPE_CHECKING:
    from ase import Atoms


def text(value: Any, what: str) -> str:
    """``value`` itself; AmsbenchError if it is no text, such as a class in the place of its name."""
    if not isinstance(value, str):
        raise AmsbenchError(f"{what} is a name, such as 'asio2', not {_shown(value)}")
    return value


def names(values: Any, what: str) -> tuple[str, ...]:
    """The names in a list; AmsbenchError for a single text, whose letters are no names, and for other things."""
    if isinstance(values, str):
        raise AmsbenchError(f"{what} is a list of names, not the text '{values}'; write ['{values}']")
    if not isinstance(values, Iterable):
        raise AmsbenchError(f"{what} is a list of names, not {_shown(values)}")
    return tuple(text(value, f"each of {what}") for value in values)


def whole_number(value: Any, what: str, *, least: int) -> int:
    """``value`` as an integer; AmsbenchError if it is not one of at least ``least``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < least:
        raise AmsbenchError(f"{what} is a whole number, {least} or more, not {_shown(value)}")
    return int(value)


def number(value: Any, what: str, *, above: float, most: float = np.inf) -> float:
    """``value`` as a float; AmsbenchError if it is no finite number above ``above`` and at most ``most``."""
    real = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not real or not above < value <= most or not np.isfinite(value):
        end = f" and at most {most:g}" if np.isfinite(most) else ""
        raise AmsbenchError(f"{what} is a number above {above:g}{end}, not {_shown(value)}")
    return float(value)


def path_of(value: Any, what: str) -> Path:
    """``value`` as a path; AmsbenchError for what is none."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise AmsbenchError(f"{what} is the path of a file or folder, not {_shown(value)}")
    return Path(value)


def structures(values: Any) -> list[Atoms]:
    """The structures in a list or an iterator; AmsbenchError for a single one and for what are no ASE Atoms."""
    from ase import Atoms

    if isinstance(values, Atoms):
        raise AmsbenchError("frames is a list of structures, not a single one; write [atoms]")
    if isinstance(values, str | os.PathLike):
        raise AmsbenchError(
            f"frames is a list of ASE Atoms, not the path '{values}'; read it with amsbench.read_structures"
        )
    if not isinstance(values, Iterable):
        raise AmsbenchError(f"frames is a list of ASE Atoms, not {_shown(values)}")
    frames = list(values)
    for k, frame in enumerate(frames):
        if not isinstance(frame, Atoms):
            raise AmsbenchError(f"structure {k} is not ASE Atoms, but {_shown(frame)}")
    return frames


def targets(values: Any, count: int) -> dict[str, np.ndarray]:
    """Target values [count] by property, from one number for all structures or ``count`` numbers.

    Raises AmsbenchError for no mapping, other counts, and what are no finite numbers (text, true and false).
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise AmsbenchError(f"targets is a table such as {{'ring_size': 5.5}}, not {_shown(values)}")
    table = {}
    for name, value in values.items():
        try:
            column = np.asarray(value)
        except ValueError:
            column = np.asarray(None)
        if column.dtype.kind not in "iuf" or column.shape not in ((), (count,)):
            raise AmsbenchError(
                f"the target {text(name, 'each name of targets')}={_shown(value)} is neither one number nor {count}, "
                "one per structure"
            )
        with np.errstate(over="ignore"):
            finite = np.isfinite(column.astype(np.float32)).all()
        if not finite:
            raise AmsbenchError(f"the target {name}={_shown(value)} is not finite; give finite numbers")
        table[name] = np.broadcast_to(column.astype(float), (count,))
    return table


def _shown(value: Any) -> str:
    """A value as it stands in messages: short, on one line."""
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
