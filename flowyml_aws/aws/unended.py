"""Ends of many jobs at once, and the error that lists those that AWS did not end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flowyml_aws.core.concurrency import SERVICE_CALLS, map_concurrently
from flowyml_aws.core.errors import AwsRefusedError

__all__ = ["end_each", "not_ended"]

_SHOWN = 3  # jobs with their reasons


def end_each(names: Sequence[str], end: Callable[[str], object]) -> dict[str, AwsRefusedError]:
    """End jobs. Return the errors of those that could not be ended, by their names or ids."""
    refusals: dict[str, AwsRefusedError] = {}

    def try_to_end(name: str) -> None:
        try:
            end(name)
        except AwsRefusedError as error:
            refusals[name] = error

    map_concurrently(try_to_end, names, limit=SERVICE_CALLS)
    return refusals


def not_ended(
    run_id: str, refusals: Mapping[str, AwsRefusedError], service: str
) -> AwsRefusedError:
    """Return the error for jobs that could not be ended.

    Args:
        run_id: The run.
        refusals: Errors by the id or name of a job at its service; at least one.
        service: Name of the service, as its console has it.
    """
    shown = [f"{job} ({error.why})" for job, error in list(refusals.items())[:_SHOWN]]
    more = f", and {len(refusals) - _SHOWN} more" if len(refusals) > _SHOWN else ""
    advice = next(iter(refusals.values())).fix
    return AwsRefusedError(
        what=f"{len(refusals)} jobs of run {run_id} were not ended, and may cost money",
        why=f"{', '.join(shown)}{more}",
        fix=f"{advice}; then repeat `flowyml-aws cancel {run_id}`, or end them in the console of "
        f"{service}",
    )
