"""Concurrent execution of checks that may depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.findings import Finding, Level

__all__ = ["Check", "Report", "examine"]

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Attributes:
        run: Returns the findings. Raises a `FlowymlError` if the check can't be completed; then
            checks that depend on it are skipped.
        after: Names of checks that must be completed before.
        severity: Level of the finding if the check can't be completed.
    """

    name: str
    run: Callable[[], Sequence[Finding]]
    after: tuple[str, ...] = ()
    severity: Level = "error"


@dataclass(frozen=True, slots=True)
class Report:
    """Findings of a check.

    Attributes:
        is_complete: Whether the check was completed.
    """

    check: str
    findings: tuple[Finding, ...]
    is_complete: bool


def examine(checks: Sequence[Check]) -> Iterator[Report]:
    """Run checks concurrently, and yield each report when it is complete.

    Args:
        checks: Checks in dependency order; unknown names in `after` are ignored.
    """
    waiting = list(checks)
    names = {check.name for check in checks}
    done: dict[str, Report] = {}
    running: dict[Future[Report], str] = {}
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="doctor")
    try:
        while waiting or running:
            for check in list(waiting):
                parents = [done.get(name) for name in check.after if name in names]
                failed = [report for report in parents if report and not report.is_complete]
                if failed:
                    waiting.remove(check)
                    done[check.name] = _skipped(check, failed[0])
                    yield done[check.name]
                elif None not in parents:
                    waiting.remove(check)
                    running[pool.submit(_run, check)] = check.name
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                done[running.pop(future)] = report = future.result()
                yield report
    finally:
        # Don't wait for unfinished checks if the caller stops iterating.
        pool.shutdown(wait=False, cancel_futures=True)


def _run(check: Check) -> Report:
    try:
        return Report(check.name, tuple(check.run()), is_complete=True)
    except FlowymlError as error:
        if check.severity == "not checked":
            return _unchecked(check, f"the call failed: {error.why}")
        finding = Finding("failed", check.severity, error.what, error.why, error.fix)
        return Report(check.name, (finding,), is_complete=False)


def _skipped(check: Check, failed: Report) -> Report:
    # In a chain of skipped checks, report the first failure as the reason.
    reasons = (finding.why for finding in failed.findings if finding.level == "not checked")
    return _unchecked(check, next(reasons, f"{failed.check} failed"))


def _unchecked(check: Check, why: str) -> Report:
    finding = Finding("not-checked", "not checked", f"{check.name} was not checked", why)
    return Report(check.name, (finding,), is_complete=False)
