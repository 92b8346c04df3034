"""Limit of the size of a usage document, whatever the number of steps and series."""

from __future__ import annotations

from flowyml_aws.runtime.periods import merge_pairs
from flowyml_aws.runtime.usage import JobUsage, Series

__all__ = ["MAX_BYTES", "within_limit"]

MAX_BYTES = 200 * 1024


def within_limit(usage: JobUsage, max_bytes: int = MAX_BYTES) -> tuple[JobUsage, bytes]:
    """Return the document and its JSON, with at most `max_bytes`.

    If it is too long, the shortest phases and the steps with the least processor time are left
    out, and then neighboring periods are merged.
    """
    steps, phases = len(usage.steps), len(usage.phases)
    while len(data := _with_notes(usage, steps, phases).to_json(indent=None)) > max_bytes:
        listed = usage.model_copy(update={"series": ()}).to_json(indent=None)
        if 2 * len(listed) > max_bytes:
            usage = _with_fewer_entries(usage)
        else:
            usage = _with_longer_periods(usage)
    return _with_notes(usage, steps, phases), data


def _with_fewer_entries(usage: JobUsage) -> JobUsage:
    longest = sorted(usage.phases, key=lambda phase: phase.started_at - phase.ended_at)
    kept = longest[: len(longest) // 2]
    largest = sorted(usage.steps, key=lambda step: -usage.steps[step].cpu_core_s)
    names = set(largest[: len(largest) // 2])
    return usage.model_copy(
        update={
            "phases": tuple(sorted(kept, key=lambda phase: phase.started_at)),
            "steps": {step: use for step, use in usage.steps.items() if step in names},
        }
    )


def _with_longer_periods(usage: JobUsage) -> JobUsage:
    series = tuple(
        Series(
            name=one.name,
            low=tuple(merge_pairs(one.low, min)),
            high=tuple(merge_pairs(one.high, max)),
        )
        for one in usage.series
    )
    return usage.model_copy(update={"series": series, "period_s": usage.period_s * 2})


def _with_notes(usage: JobUsage, steps: int, phases: int) -> JobUsage:
    notes = [
        f"{name}: only {kept:,} of {total:,}, because the document has a limit"
        for name, kept, total in (
            ("steps", len(usage.steps), steps),
            ("phases", len(usage.phases), phases),
        )
        if kept < total
    ]
    return usage.model_copy(update={"missing": (*usage.missing, *notes)}) if notes else usage
