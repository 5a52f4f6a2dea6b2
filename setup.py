"""The one thing that pyproject.toml cannot say: a native kernel built where a C compiler is present."""

import os

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "amsbench.methods._edge_kernel",
            sources=["methods/edge_kernel.c"],
            depends=["methods/edge_kernel_body.h"],
            # no -march: the kernel chooses among instruction sets at run time
            extra_compile_args=["-O3", "-g0", "-std=gnu11", "-fno-math-errno", "-Wno-psabi"],
            libraries=["m"] if os.name == "posix" else [],
            optional=True,
        )
    ]
)
