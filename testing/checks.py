"""Named checks of plug-ins, their results, and the function that runs them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NoReturn, TypeVar

from ..benchmark.registry import near_matches
from ..errors import AmsbenchError

Subject = TypeVar("Subject")


class CheckFailed(AssertionError):
    """Raised if a check finds a fault; the message is ``name: fault``."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One requirement on every method or every dataset.

    run: raises CheckFailed if the subject violates the requirement
    applies: whether the requirement applies to the subject
    """

    run: Callable[[Subject], None]
    applies: Callable[[Subject], bool] = lambda subject: True

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def description(self) -> str:
        """First line of the docstring of ``run``."""
        return (inspect.getdoc(self.run) or "").splitlines()[0]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Result of a check that passed, failed as expected (``message``: fault and reason) or does not apply."""

    name: str
    outcome: Literal["passed", "failed as expected", "does not apply"]
    message: str = ""


def fail(message: str) -> NoReturn:
    raise CheckFailed(message)


def require(condition: Any, message: str) -> None:
    """Raise CheckFailed with ``message`` unless the condition (bool or tensor with one element) is true."""
    if not bool(condition):
        raise CheckFailed(message)


def run_checks(
    checks: Sequence[Check[Subject]],
    subjects: Sequence[Subject],
    owner: str,
    only: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> tuple[CheckResult, ...]:
    """Run every check on every subject to which it applies; CheckFailed lists all failures, one per line.

    owner: name of the plug-in in messages
    subjects: variants of the plug-in, such as a method on several tasks
    only: names of the checks to run, all by default
    expected_failures: reasons by the name of a check that is expected to fail; such a check that passes is a failure
    Raises AmsbenchError for unknown names of checks and for an empty reason.
    """
    names = [check.name for check in checks]
    expected = dict(expected_failures or {})
    chosen = names if only is None else list(only)
    for name in (*chosen, *expected):
        if name not in names:
            raise AmsbenchError(f"there is no check '{name}'; {near_matches(name, names)}")
    for name, why in expected.items():
        if not why.strip():
            raise AmsbenchError(
                f"the expected failure of '{name}' has no reason; give a sentence that explains why it may fail"
            )
    results, failures = [], []
    for check in checks:
        if check.name not in chosen:
            continue
        concerned = [subject for subject in subjects if check.applies(subject)]
        reason = expected.get(check.name)
        try:
            for subject in concerned:
                _run(check, subject)
        except CheckFailed as failure:
            if reason is None:
                failures.append(failure)
            else:
                message = f"{failure} (expected: {reason})"
                results.append(CheckResult(name=check.name, outcome="failed as expected", message=message))
            continue
        if reason is not None:
            failures.append(CheckFailed(f"{check.name}: passes, though it is expected to fail ({reason})"))
        outcome: Literal["passed", "does not apply"] = "passed" if concerned else "does not apply"
        results.append(CheckResult(name=check.name, outcome=outcome))
    if len(failures) == 1:
        raise CheckFailed(f"{owner} fails a check\n{failures[0]}") from failures[0]
    if failures:
        lines = "\n".join(map(str, failures))
        raise CheckFailed(f"{owner} fails {len(failures)} of {len(chosen)} checks\n{lines}")
    return tuple(results)


def _run(check: Check[Subject], subject: Subject) -> None:
    where = str(subject)
    try:
        check.run(subject)
    except CheckFailed as failure:
        raise CheckFailed(f"{check.name}: {failure}{where}") from failure
    except Exception as error:  # whatever a plug-in raises
        raise CheckFailed(f"{check.name}: {type(error).__name__}: {error}{where}") from error
