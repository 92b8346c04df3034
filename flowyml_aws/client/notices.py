"""Notices that a user sends: a test, or that of a run again. The report that notices link to."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import FlowymlError, NoticeError
from flowyml_aws.core.recipients import recipient_problems
from flowyml_aws.notices.delivery import delivery_notes, read_deliveries
from flowyml_aws.notices.notice import make_test_notice
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.connect import account_settings, locate_run
from flowyml_aws.services.notices import notice_of, send_notice
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.origin import client_text
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus

__all__ = ["notice_lines", "send_again", "send_test", "store_report"]


def send_again(
    run_id: str, recipients: Sequence[str] | None = None
) -> Mapping[str, FlowymlError | None]:
    """Send the notice of a run that has ended, whether it was sent before or not.

    Return the error of each recipient, or None.

    Args:
        run_id: Name of the run. Same as in `Run.attach`.
        recipients: Recipients; None for those of the run.

    Raises:
        RunNotFoundError: No store contains the run.
        NoticeError: The run has not ended, or has no recipients.
        SettingsError: A recipient is invalid.
    """
    found = locate_run(run_id)
    chosen = _checked(found.plan.notify if recipients is None else recipients, "run")
    driver = found.driver()
    driver.on_end.clear()  # the notice is sent here, once
    status = driver.status()
    if status.state is RunState.RUNNING:
        raise NoticeError(
            what=f"Run {found.record.run_id} has not ended",
            why="the notice is about its end",
            fix="wait for it: its recipients get the notice then",
        )
    return send_notice(chosen, notice_of(driver.store, status), found.settings.region)


def send_test(recipients: Sequence[str] | None = None) -> Mapping[str, FlowymlError | None]:
    """Send a test notice. Return the error of each recipient, or None.

    Args:
        recipients: Recipients; None for the setting `notify`.

    Raises:
        NoticeError: There is no recipient.
        SettingsError: A recipient or another setting is invalid.
    """
    settings = account_settings(find_project([]).root)
    chosen = _checked(settings.notify if recipients is None else recipients, "setting")
    return send_notice(chosen, make_test_notice(client_text()), settings.region)


def notice_lines(driver: RunDriver) -> list[str]:
    """Return lines on the notices of a run that has ended; empty if it has no recipients."""
    wanted, run_id = driver.plan.notify, driver.record.run_id
    deliveries = read_deliveries(driver.store, run_id) if wanted else None
    return delivery_notes(run_id, wanted, deliveries)


def store_report(driver: RunDriver, _: RunStatus) -> None:
    """Store the report of a run that has ended, unless it is stored.

    A report that can't be made is left out: the notice is sent without it.
    """
    from flowyml_aws.report.collect import collect
    from flowyml_aws.report.page import to_html

    with suppress(FlowymlError, OSError):
        page = to_html(collect(driver, time.time()))
        driver.store.create(RunLayout(driver.record.run_id).report, page.encode())


def _checked(recipients: Sequence[str], source: str) -> Sequence[str]:
    for problem in recipient_problems(recipients, "--to"):
        raise problem
    if not recipients:
        raise NoticeError(
            what="No recipient of notices",
            why=f"the {source} names none",
            fix="name one with --to, or set `notify` in flowyml-aws.toml",
        )
    return recipients
