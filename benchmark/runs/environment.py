"""Versions, device and threads that a result was made with."""

from __future__ import annotations

import platform

from ...errors import AmsbenchError
from ...metrics.potentials.lammps import lammps_version
from ...version import __version__
from .results import Environment


def current_environment(device: str, threads: int, native: str) -> Environment:
    """Versions of this installation, with the given device, number of threads and code that computes the network."""
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
