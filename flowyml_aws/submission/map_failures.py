"""The failures of a run for people: each failed job, or the first failed items of a map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowyml_aws.core.amounts import counted
from flowyml_aws.submission.map_progress import MAX_NAMED, ItemReport, MapProgress, cause_of
from flowyml_aws.submission.status import JobFailure, RunStatus, failures

__all__ = ["DescribedFailure", "described_failures"]


@dataclass(frozen=True, slots=True)
class DescribedFailure:
    """A failed job, or all failed items of a mapped step.

    Attributes:
        headline: Sentence on the failure.
        tracebacks: Tracebacks of the user's code.
        details: Lines on single items.
        log: Job or item whose log explains the failure.
        status: Mapped step whose items `status --job` shows; None for a failed job.
    """

    headline: str
    tracebacks: tuple[str, ...]
    details: tuple[str, ...]
    log: str
    status: str | None = None


def described_failures(status: RunStatus) -> list[DescribedFailure]:
    """Return the failures of a run: jobs in plan order, then maps.

    Of a map, the first failed items are named, and each traceback is contained once.
    """
    mapped = {view.job.name: view.job.mapped for view in status.jobs}
    all_failures = failures(status)
    single = [failure for failure in all_failures if not mapped[failure.job]]
    of_maps = [failure for failure in all_failures if mapped[failure.job]]
    return [
        *(DescribedFailure(str(each), each.tracebacks, (), each.job) for each in single),
        *_failed_maps(status),
        *_failed_jobs_of_maps(of_maps),
    ]


def _failed_maps(status: RunStatus) -> Iterator[DescribedFailure]:
    for each in status.progress.values():
        failed = [item for item in each.failed if not item.is_dropped]
        if failed:
            total = counted(each.planned.items, "item")
            yield DescribedFailure(
                f"{len(failed):,} of {total} of {each.step} failed",
                _tracebacks(failed),
                tuple(_details(failed)),
                failed[0].report.name,
                each.step,
            )
        elif each.missing is not None:
            yield _too_few(each, each.missing)


def _too_few(progress: MapProgress, sentence: str) -> DescribedFailure:
    dropped = progress.failed or progress.dropped
    return DescribedFailure(
        sentence, _tracebacks(dropped), (), dropped[0].report.name, progress.step
    )


def _failed_jobs_of_maps(found: list[JobFailure]) -> Iterator[DescribedFailure]:
    """Yield one failure for the jobs of maps that failed, but not because of a step."""
    without_step = [failure for failure in found if not failure.steps]
    if without_step:
        first, *others = without_step
        more = f" (and {counted(len(others), 'other job')})" if others else ""
        yield DescribedFailure(f"{first}{more}", first.tracebacks, (), first.job)


def _details(items: Sequence[ItemReport]) -> Iterator[str]:
    for item in items[:MAX_NAMED]:
        yield f"{item.report.name}: {cause_of(item.report)}"
    if items[MAX_NAMED:]:
        yield f"and {len(items) - MAX_NAMED:,} more"


def _tracebacks(items: Sequence[ItemReport]) -> tuple[str, ...]:
    """Return the traceback of the first item that has one."""
    for item in items:
        if item.report.failure is not None and item.report.failure.traceback:
            return (item.report.failure.traceback,)
    return ()
