"""Processor cores, and the environment in which a worker process uses one of them."""

from __future__ import annotations

import os

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables for the thread counts of numerical libraries, which read them when they are loaded.

With one worker per core, further threads compete for the cores even in products of 3 x 3 matrices, and a relaxation
takes minutes instead of seconds.
"""


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
