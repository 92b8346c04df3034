"""Notes of a plan on differences between this machine's environment and that of its jobs."""

from __future__ import annotations

import locale
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.core.environment import looks_secret
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.variables import VariableReader
from flowyml_aws.planning.environment import LOCALE, TIME_ZONE, names_a_locale
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.planning.services import service_traits

__all__ = ["ClientEnvironment", "environment_notes"]

# Each machine has its own values of these, or the service sets them.
_OF_EVERY_MACHINE = re.compile(
    "(AWS_|CONDA_|FLOWYML_|LC_|PYTHON|SM_|SSH_|XDG_).*|DISPLAY|EDITOR|HOME|HOSTNAME|LANG|LANGUAGE|"
    "LOGNAME|OLDPWD|PATH|PWD|SHELL|SHLVL|TEMP|TERM|TMP|TMPDIR|TZ|USER|USERNAME|VIRTUAL_ENV"
)


@dataclass(frozen=True, slots=True)
class ClientEnvironment:
    """The environment of this machine.

    Attributes:
        variables: Environment variables.
        time_zone: Name of the time zone; None if it equals UTC all year.
        locale: Name of the locale.
    """

    variables: Mapping[str, str]
    time_zone: str | None
    locale: str

    @classmethod
    def this(cls) -> ClientEnvironment:
        """Return the environment of this process."""
        is_utc = not time.timezone and not time.daylight
        return cls(os.environ, None if is_utc else _time_zone(os.environ), _locale())


def environment_notes(
    plan: ExecutionPlan, steps: Sequence[Step], client: ClientEnvironment
) -> tuple[str, ...]:
    """Return the differences that may change the results of jobs that run on other machines.

    Args:
        plan: Plan of the run.
        steps: Steps of its jobs.
        client: Environment of this machine.
    """
    environments = {
        step: {**job.environment, **job.secrets}
        for job in plan.jobs
        if not service_traits(job.backend).inherits_environment
        for step in job.steps
    }
    remote = [step for step in steps if step.name in environments]
    return (*_zone_notes(environments.values(), client), *_variables(remote, environments, client))


def _zone_notes(
    environments: Iterable[Mapping[str, str]], client: ClientEnvironment
) -> Iterator[str]:
    in_utc = [own for own in environments if "TZ" not in own]
    if client.time_zone is None or not in_utc:
        return
    theirs, here, variables = TIME_ZONE, client.time_zone, "'TZ': …"
    if not any(map(names_a_locale, in_utc)):
        theirs += f" and the locale {LOCALE}"
        here += f" and {client.locale}"
        variables += ", 'LANG': …"
    yield f"jobs run in {theirs}; this machine uses {here}: env={{{variables}}} changes this"


def _variables(
    steps: Sequence[Step],
    environments: Mapping[str, Mapping[str, str]],
    client: ClientEnvironment,
) -> Iterator[str]:
    reader = VariableReader()
    read: dict[str, Sequence[str]] = {}  # by mapped step: its items have the same code
    users: dict[str, list[str]] = {}
    for step in steps:
        if step.declared_name not in read:
            read[step.declared_name] = tuple(reader.read_by(step))
        for name in read[step.declared_name]:
            if name in client.variables and name not in environments[step.name]:
                users.setdefault(name, []).append(step.name)
    for name in sorted(users):
        if _OF_EVERY_MACHINE.fullmatch(name):
            continue
        fix = f"pass env={{{name!r}: …}}"
        if looks_secret(name):
            fix = (
                "it looks like a secret, so store it in AWS Secrets Manager, and pass a reference "
                f"with secrets={{{name!r}: …}}"
            )
        first, *others = users[name]
        more = f" and {len(others)} more" if others else ""
        yield f"{name} is read by step {first!r}{more} and set only on this machine: {fix}"


def _time_zone(environment: Mapping[str, str]) -> str:
    """Return the name of the time zone, such as Europe/Berlin."""
    if name := environment.get("TZ", "").removeprefix(":"):
        return name
    _, found, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    return name if found else time.tzname[0]


def _locale() -> str:
    try:
        language, encoding = locale.getlocale()
    except ValueError:  # a locale that Python does not know
        return os.environ.get("LANG", "C")
    return ".".join(filter(None, (language, encoding))) or "C"
