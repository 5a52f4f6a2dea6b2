"""The one thing that pyproject.toml cannot say: native kernels built where a C compiler is present."""

import os

from setuptools import Extension, setup


def native(name: str, sources: list[str], headers: list[str], *flags: str) -> Extension:
    """A plain C library; without a compiler the package is installed all the same."""
    return Extension(
        name,
        sources=sources,
        # for a build after a change, and so that they go into the source distribution
        depends=headers,
        # no -march: the kernels choose among instruction sets at run time
        extra_compile_args=["-O3", "-g0", "-std=gnu11", "-fno-math-errno", *flags],
        libraries=["m"] if os.name == "posix" else [],
        optional=True,
    )


setup(
    ext_modules=[
        native(
            "amsbench.methods._edge_kernel",
            ["methods/edge_kernel.c"],
            [f"methods/edge_kernel_{part}.h" for part in ("body", "products", "forward", "backward")],
            "-Wno-psabi",
        ),
        native(
            "amsbench.metrics._neighbours",
            ["metrics/neighbours.c", "metrics/curves.c"],
            ["metrics/neighbours.h", "metrics/neighbours_body.h"],
            "-ffp-contract=off",
        ),
    ]
)
