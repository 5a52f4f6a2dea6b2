"""Wheels of what a machine with torch lacks, for a Python and a platform that need not be this one's."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ...benchmark.system.files import check_writable
from ...errors import AmsbenchError

PACKAGES = (
    "ase",
    "vesin",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-inspection",
    "typing-extensions",
)
"""What is imported besides torch, triton, lightning, torch-geometric, numpy, scipy, pandas, pyarrow, safetensors, rich,
tabulate and typer. Training needs ase alone, and vesin where no native library can be built; scores need pydantic."""

LARGEST = 12
"""Largest total size of the wheels, MiB."""

PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def download(arguments: Sequence[str]) -> None:
    """Call ``pip download`` with these arguments; AmsbenchError with pip's last line if it fails."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise AmsbenchError(f"pip cannot download the wheels: {reason}; check the network and the version")


def prepare_wheels(
    folder: Path,
    *,
    python: str,
    machine: str = "x86_64",
    fetch: Callable[[Sequence[str]], None] = download,
) -> list[Path]:
    """Put wheels of PACKAGES, in the versions of this environment, into ``folder`` in place of those there.

    python: version of the other machine's Python, such as 3.12
    machine: its architecture
    fetch: called with the arguments of ``pip download``
    Raises AmsbenchError for a folder that cannot be written, a failed download, and wheels of more than LARGEST in all.
    """
    check_writable(folder)
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
    platforms = [part for name in PLATFORMS for part in ("--platform", f"{name}_{machine}")]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        fetch([*options, *platforms, "--dest", temporary, *pins])
        wheels = sorted(Path(temporary).glob("*.whl"))
        size = sum(wheel.stat().st_size for wheel in wheels) / 2**20
        if size > LARGEST:
            raise AmsbenchError(
                f"the wheels have {size:.1f} MiB, more than the {LARGEST} that are carried; install older versions of "
                f"the largest, {max(wheels, key=lambda wheel: wheel.stat().st_size).name}, here"
            )
        for old in folder.glob("*.whl"):
            old.unlink()
        return [Path(shutil.move(wheel, folder / wheel.name)) for wheel in wheels]
