"""Installation of a checkout on a machine without network, by its Python and what was carried along.

    python3 speed/gpu/install.py SITE CARRIED

makes the folder SITE, which then stands in PYTHONPATH: a link to this checkout as ``amsbench``, metadata with the entry
points of pyproject.toml, since methods and datasets are plug-ins, and the contents of the wheels in CARRIED. It builds
the native libraries in the checkout if a C compiler is present. A second call changes only what is missing. The module
uses nothing but the standard library.
"""

from __future__ import annotations

import importlib.machinery
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

LIBRARIES = ("methods/egnn/_edge_kernel", "metrics/neighbours/_neighbours")
"""Native libraries of the package, without the suffix of the interpreter."""

BUILD_SECONDS = 150
"""Longest build of the native libraries; without them the package works by other, slower code."""


def install(site: Path, carried: Path | None) -> list[str]:
    """Make the folder ``site``; lines on what was done.

    carried: folder with wheels, or None
    Raises ValueError for a wheel of another Python, and where ``site`` holds another ``amsbench``.
    """
    site.mkdir(parents=True, exist_ok=True)
    link = site / "amsbench"
    if not link.is_symlink() and not link.exists():
        link.symlink_to(REPOSITORY, target_is_directory=True)
    if link.resolve() != REPOSITORY:
        raise ValueError(f"{link} is not the checkout {REPOSITORY}; choose another folder or delete it")
    lines = [f"{link} -> {REPOSITORY}", f"{write_metadata(site)} entry points"]
    wheels = sorted(carried.glob("*.whl")) if carried is not None and carried.is_dir() else []
    for wheel in wheels:
        unpack_wheel(wheel, site)
    lines.append(f"{len(wheels)} wheels: {', '.join(wheel.name.split('-')[0] for wheel in wheels) or 'none'}")
    return [*lines, build_libraries()]


def write_metadata(site: Path) -> int:
    """Write the metadata by which plug-ins and version are read, and return the number of entry points."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    version_text = (REPOSITORY / "version.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "([^"]+)"', version_text)
    assert version is not None
    folder = site / f"{project['name']}-{version[1]}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version[1]}\n", encoding="utf-8"
    )
    text = "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in groups.items()
    )
    (folder / "entry_points.txt").write_text(text, encoding="utf-8")
    return sum(map(len, groups.values()))


def unpack_wheel(wheel: Path, site: Path) -> None:
    """Unpack a wheel into ``site``, unless its metadata is there already; ValueError for one of another Python."""
    name, version, *_, python, _, platform = wheel.stem.split("-")
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if not any(tag in (own, "py3") for tag in python.split(".")):
        raise ValueError(f"{wheel} is for {python} and this Python is {own}; prepare the wheels for this one")
    if platform != "any" and os.uname().machine not in platform:
        raise ValueError(f"{wheel} is for {platform} and this machine is {os.uname().machine}; carry others")
    if (site / f"{name}-{version}.dist-info" / "RECORD").exists():
        return
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for kind in ("purelib", "platlib"):
        part = site / f"{name}-{version}.data" / kind
        if part.is_dir():
            shutil.copytree(part, site, dirs_exist_ok=True)


def build_libraries() -> str:
    """Build the native libraries in the checkout; a line on the result. A build that fails is no error."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    if all((REPOSITORY / f"{name}{suffix}").exists() for name in LIBRARIES):
        return "native libraries: built already"
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        return "native libraries: not built, there is no C compiler"
    began = time.monotonic()
    try:
        result = subprocess.run(
            [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--parallel=2"],
            cwd=REPOSITORY,
            env=os.environ | {"CC": compiler},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"native libraries: not built within {BUILD_SECONDS} s"
    missing = [name for name in LIBRARIES if not (REPOSITORY / f"{name}{suffix}").exists()]
    if missing:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return f"native libraries: {', '.join(missing)} not built ({reason})"
    return f"native libraries: built in {time.monotonic() - began:.0f} s"


def main() -> None:
    """Install with the arguments of the command line and print what was done."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python3 speed/gpu/install.py SITE [CARRIED]")
    try:
        lines = install(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"error: {error}")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
