"""All checks of a project: this machine, and the account if one is set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.account import AccountCheckup
from flowyml_aws.doctor.examination import Check, Report, examine
from flowyml_aws.doctor.machine import check_local_store, check_machine, no_account
from flowyml_aws.services.account import Account
from flowyml_aws.settings.load import load_settings
from flowyml_aws.settings.model import Settings

__all__ = ["checkup"]


def checkup(
    project: Path, environment: Mapping[str, str], python: str, clock: Callable[[], float]
) -> Iterator[Report]:
    """Run the checks that apply to a project, and yield each report when it is complete.

    Args:
        project: Folder of the project.
        environment: Environment variables.
        python: Minor version on this machine, such as `3.11`.
        clock: Returns the time in seconds since the epoch.
    """
    try:
        settings = load_settings(project, environment)
    except FlowymlError as error:
        finding = Finding("settings-wrong", "error", error.what, error.why, error.fix)
        yield Report("settings", (finding,), is_complete=False)
        yield from examine([Check("machine", check_machine)])
        return
    checks = [
        Check("machine", check_machine),
        Check("local store", lambda: check_local_store(project, settings)),
    ]
    if settings.account is None and settings.store is None:
        checks.append(Check("account", lambda: [no_account()]))
    else:
        checks += _account(project, environment, settings, python, clock).checks()
    yield from examine(checks)


def _account(
    project: Path,
    environment: Mapping[str, str],
    settings: Settings,
    python: str,
    clock: Callable[[], float],
) -> AccountCheckup:
    from flowyml_aws.aws.checks.probe import Probe

    account = Account(settings)
    return AccountCheckup(
        settings=settings,
        probe=Probe(lambda: account.session),
        region=lambda: account.region,
        load=lambda document: load_settings(project, environment, document),
        catalog=lambda: account.catalog,
        image=lambda settings: Account(settings, project, settings.image).image,
        python=python,
        clock=clock,
    )
