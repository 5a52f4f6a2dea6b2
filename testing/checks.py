"""Named checks: how they are listed, run, and expected to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NoReturn, TypeVar

from ..benchmark.registry import near_matches
from ..errors import AmsbenchError

Subject = TypeVar("Subject")


class CheckFailed(AssertionError):
    """A check found a fault; the message is ``name: what is wrong``."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One thing that is asked of every method, or of every dataset.

    run: raises CheckFailed where its subject does not keep to it
    applies: whether the subject claims, or has, what the check is about
    """

    run: Callable[[Subject], None]
    applies: Callable[[Subject], bool] = lambda subject: True

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def description(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.run) or "").splitlines()[0]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What became of a check that raised nothing: ``outcome`` and, for an expected failure, what it said and why."""

    name: str
    outcome: Literal["passed", "failed as expected", "does not apply"]
    message: str = ""


def fail(message: str) -> NoReturn:
    raise CheckFailed(message)


def require(condition: Any, message: str) -> None:
    """CheckFailed with ``message`` unless the condition (a bool or a tensor of one) holds."""
    if not bool(condition):
        raise CheckFailed(message)


def run_checks(
    checks: Sequence[Check[Subject]],
    subjects: Sequence[Subject],
    owner: str,
    only: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> tuple[CheckResult, ...]:
    """Run every check on every subject that it applies to; CheckFailed with all that failed, one a line.

    subjects: the forms in which one thing is checked, such as a method on several tasks
    only: names of the checks to run, all by default
    expected_failures: why a check may fail, by its name; one of them that passes is a failure, too
    Raises AmsbenchError for names of checks that there are not, and for an empty reason.
    """
    known = [check.name for check in checks]
    expected = dict(expected_failures or {})
    chosen = known if only is None else list(only)
    for name in (*chosen, *expected):
        if name not in known:
            raise AmsbenchError(f"there is no check '{name}'; {near_matches(name, known)}")
    for name, why in expected.items():
        if not why.strip():
            raise AmsbenchError(
                f"the expected failure of '{name}' has no reason; say in a sentence why it may fail"
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
