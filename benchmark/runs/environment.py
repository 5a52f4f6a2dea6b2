"""Versions, device and threads with which a result was computed."""

from __future__ import annotations

import platform

from ...errors import AmsbenchError
from ...metrics.potentials.lammps import lammps_version
from ...version import __version__
from .results import Environment


def current_environment(device: str, threads: int, native: str) -> Environment:
    """Environment of a result: versions of this installation, device, number of threads and network code."""
    import torch

    try:
        lammps: str | None = lammps_version()
    except AmsbenchError:
        lammps = None
    return Environment(
        amsbench=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        lammps=lammps,
        platform=platform.platform(),
        device=device,
        threads=threads,
        native=native,
    )
