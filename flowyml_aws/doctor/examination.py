"""Checks that run side by side, each for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.findings import Finding, Level

__all__ = ["Check", "Report", "examine"]

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at.

    Attributes:
        look: What it finds. A `FlowymlError` says that it could not look, or that there is nothing
            to look at: then what comes after it is not looked at either.
        after: Names of checks that must have been possible.
        severity: How bad it is if it can't look.
    """

    name: str
    look: Callable[[], Sequence[Finding]]
    after: tuple[str, ...] = ()
    severity: Level = "error"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        is_complete: Whether it could look.
    """

    check: str
    findings: tuple[Finding, ...]
    is_complete: bool


def examine(checks: Sequence[Check]) -> Iterator[Report]:
    """Every check's report, as soon as it is there.

    Args:
        checks: Each behind those that it comes after; names of others are ignored.
    """
    waiting = list(checks)
    names = {check.name for check in checks}
    done: dict[str, Report] = {}
    running: dict[Future[Report], str] = {}
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="doctor")
    try:
        while waiting or running:
            for check in list(waiting):
                before = [done.get(name) for name in check.after if name in names]
                failed = [one for one in before if one is not None and not one.is_complete]
                if failed:
                    waiting.remove(check)
                    done[check.name] = _skipped(check, failed[0])
                    yield done[check.name]
                elif None not in before:
                    waiting.remove(check)
                    running[pool.submit(_look, check)] = check.name
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done[running.pop(future)] = report = future.result()
                yield report
    finally:
        # Who does not want to wait for an answer that does not come need not.
        pool.shutdown(wait=False, cancel_futures=True)


def _look(check: Check) -> Report:
    try:
        return Report(check.name, tuple(check.look()), is_complete=True)
    except FlowymlError as error:
        if check.severity == "not checked":
            return _unchecked(check, f"the call failed: {error.why}")
        finding = Finding("failed", check.severity, error.what, error.why, error.fix)
        return Report(check.name, (finding,), is_complete=False)


def _skipped(check: Check, failed: Report) -> Report:
    # Of a chain, the first one is the reason.
    before = (one.why for one in failed.findings if one.level == "not checked")
    return _unchecked(check, next(before, f"{failed.check} failed"))


def _unchecked(check: Check, why: str) -> Report:
    finding = Finding("not-checked", "not checked", f"{check.name} was not checked", why)
    return Report(check.name, (finding,), is_complete=False)
