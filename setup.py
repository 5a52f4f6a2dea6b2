"""What pyproject.toml cannot say: the list of packages, and native kernels built where a C compiler is present."""

import os

from setuptools import Extension, find_packages, setup


def native(name: str, sources: list[str], headers: list[str], *flags: str) -> Extension:
    """A plain C library; without a compiler the package is installed all the same."""
    return Extension(
        name,
        sources=sources,
        # for a build after a change, and so that they go into the source distribution
        depends=["native_levels.h", *headers],
        # no -march: the kernels choose among instruction sets at run time
        extra_compile_args=["-O3", "-g0", "-std=gnu11", "-fno-math-errno", *flags],
        libraries=["m"] if os.name == "posix" else [],
        optional=True,
    )


FOLDERS = ("baselines", "benchmark", "cli", "leaderboards", "methods", "metrics", "speed", "testing")

setup(
    script_name="setup.py",  # which is not a module of the package
    # the root of the repository is the package, so that its folders are found beside this file
    packages=["amsbench"]
    + [
        f"amsbench.{name}"
        for name in find_packages(include=[*FOLDERS, *(f"{folder}.*" for folder in FOLDERS)])
    ],
    ext_modules=[
        native(
            "amsbench.methods.egnn._edge_kernel",
            ["methods/egnn/edge_kernel.c"],
            [
                f"methods/egnn/edge_kernel_{part}.h"
                for part in ("body", "products", "block", "forward", "backward")
            ],
            "-Wno-psabi",
        ),
        native(
            "amsbench.metrics.neighbours._neighbours",
            ["metrics/neighbours/neighbours.c", "metrics/neighbours/distribution_counts.c"],
            ["metrics/neighbours/neighbours.h", "metrics/neighbours/neighbours_body.h"],
            "-ffp-contract=off",
        ),
    ],
)
