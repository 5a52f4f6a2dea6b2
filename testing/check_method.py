"""``check_method``: named checks of the contract of a method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..benchmark.interface.method import Method
from ..benchmark.registry import near_matches
from ..errors import AmsbenchError
from .checks import Check, CheckResult, run_checks
from .method_probe import TASKS, Probe, Settings, deterministic_context
from .sampler_checks import SAMPLER_CHECKS
from .sampling_checks import SAMPLING_CHECKS
from .training_checks import TRAINING_CHECKS

METHOD_CHECKS: tuple[Check[Probe], ...] = (*TRAINING_CHECKS, *SAMPLING_CHECKS, *SAMPLER_CHECKS)


def checks() -> tuple[Check[Probe], ...]:
    """All checks of ``check_method``, in order; each has a ``name`` and a ``description``."""
    return METHOD_CHECKS


def check_method(
    method_class: type[Method],
    *,
    config: Mapping[str, Any] | None = None,
    network: str | None = None,
    only: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    tasks: Iterable[str] = tuple(TASKS),
    precision: torch.dtype = torch.float64,
) -> tuple[CheckResult, ...]:
    """Check the contract of a method on small tasks of one, two and eleven elements; return one result per check.

    config: changes to the configuration of the preset ``network`` (by default the first), a mapping like that of
        ``amsbench train --set``; nested settings are merged. With a small network the checks take about a minute on
        one core
    only: names of the checks to run; by default all
    expected_failures: reasons, as sentences, by the name of a check that is expected to fail; such a check that passes
        is reported as a failure
    tasks: names of the TASKS to check; by default all
    precision: number type of comparisons; float64, in which equivalent computations differ by rounding only, or
        float32 for networks that support no other type

    Raises CheckFailed with one sentence per failed check, and AmsbenchError for unknown names.
    """
    settings = Settings(network=network, config=config or {}, precision=precision)
    if network is not None and network not in method_class.networks:
        raise AmsbenchError(
            f"method '{method_class.name}' has no network '{network}'; it has: {', '.join(method_class.networks)}"
        )
    chosen = list(tasks)
    for name in chosen:
        if name not in TASKS:
            raise AmsbenchError(f"there is no task '{name}'; {near_matches(name, list(TASKS))}")
    with deterministic_context():
        probes = [Probe(method_class, settings, name) for name in chosen]
        return run_checks(METHOD_CHECKS, probes, f"method '{method_class.name}'", only, expected_failures)
