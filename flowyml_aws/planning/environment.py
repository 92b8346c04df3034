"""Environment variables of the runner's process, on every backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowyml_aws.runtime.causes import GROWABLE

if TYPE_CHECKING:
    from flowyml_aws.planning.plan import PlannedJob

__all__ = [
    "LOCALE",
    "RUNNER",
    "TIME_ZONE",
    "container_environment",
    "environment_in_container",
    "environment_on_this_machine",
    "names_a_locale",
    "process_environment",
]

RUNNER: Mapping[str, str] = {
    "PYTHONHASHSEED": "0",  # sets have the same order in every job
    "PYTHONIOENCODING": "utf-8:replace",  # print never fails, whatever the image's locale
    "PYTHONUNBUFFERED": "1",
}
"""Variables of the runner that are the same on every backend."""

TIME_ZONE, LOCALE = "UTC", "C.UTF-8"
"""Time zone and locale of jobs in containers, unless their own variables name others."""


def container_environment(job: PlannedJob, region: str) -> dict[str, str]:
    """Return the environment variables of a job in a container on AWS.

    Args:
        job: Job of a plan.
        region: AWS region of the run.
    """
    own = environment_in_container(job.environment)
    moves = ",".join(cause.value for cause in GROWABLE if cause in job.moves)
    moves_on = {"FLOWYML_MOVES_ON": moves} if moves else {}
    numbers = _repetitions(job)
    repetitions = {"FLOWYML_REPETITIONS": numbers} if numbers else {}
    return {**own, **RUNNER, **moves_on, **repetitions, "AWS_DEFAULT_REGION": region}


def environment_in_container(own: Mapping[str, str]) -> dict[str, str]:
    """Return the user's variables, with the time zone and the locale of containers."""
    defaults = {"TZ": TIME_ZONE}
    if not names_a_locale(own):
        # LC_ALL overrides every variable of the image.
        defaults |= {"LANG": LOCALE, "LC_ALL": LOCALE}
    return {**defaults, **own}


def names_a_locale(environment: Mapping[str, str]) -> bool:
    """Return whether variables select a locale, or a part of it."""
    return any(name == "LANG" or name.startswith("LC_") for name in environment)


def process_environment(job: PlannedJob, client: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a job in a process of this machine.

    Args:
        job: Job of a plan.
        client: Environment of the client. Its hash seed is kept, if it has one.
    """
    own = environment_on_this_machine(job.environment, client)
    return {**own, "FLOWYML_REPETITIONS": _repetitions(job)}


def environment_on_this_machine(
    own: Mapping[str, str], client: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that a process of this machine has whatever its job.

    Args:
        own: The user's variables.
        client: Environment of the client. Its hash seed is kept, if it has one.
    """
    seed = client.get("PYTHONHASHSEED") or RUNNER["PYTHONHASHSEED"]
    return {**client, **own, **RUNNER, "PYTHONHASHSEED": seed}


def _repetitions(job: PlannedJob) -> str:
    return ",".join(f"{name}={number}" for name, number in sorted(job.repetitions.items()))
