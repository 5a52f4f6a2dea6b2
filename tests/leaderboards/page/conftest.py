"""Results of the page's tests: published ones with structures, and copies with hostile names."""

from collections.abc import Callable

import pytest

from amsbench.benchmark.runs.results import Result

HOSTILE = "<script>alert(1)</script>"
HOSTILE_SAMPLER = '"><img src=x onerror=alert(2)>'
HOSTILE_REASON = "</script><script>alert(3)</script> & <b>bold</b> \u2028 %{x}"


@pytest.fixture(scope="session")
def silica_results(published_results) -> list[Result]:
    """Results of the shear modulus of silica at 5 and 25 steps and of the simulation, under one protocol."""
    return [
        result
        for result in published_results
        if result.key.dataset == "asio2"
        and result.key.plan == "shear_modulus"
        and result.key.protocol == "standard"
        and result.key.method in ("amshortcut", "material-sde", "simulation")
        and result.key.steps in (0, 5, 25)
    ]


@pytest.fixture(scope="session")
def hostile() -> Callable[[Result], Result]:
    """A copy of a result whose names, reasons and machine are markup; no file lies beside it."""

    def make(result: Result) -> Result:
        key = result.key.model_copy(update={"method": HOSTILE, "sampler": HOSTILE_SAMPLER})
        environment = result.environment.model_copy(update={"device": HOSTILE_REASON})
        training = {**result.training, "source": HOSTILE_REASON}
        return result.model_copy(
            update={
                "key": key,
                "step_label": HOSTILE,
                "failures": {"shear_modulus": {HOSTILE_REASON: 3}},
                "environment": environment,
                "training": training,
                "files": {},
            }
        )

    return make
