"""Notices of runs: to whom and how the client that records the end of a run sends them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import FlowymlError, NoticeError
from flowyml_aws.core.recipients import Recipient, parse_recipient
from flowyml_aws.notices.delivery import record_deliveries, send_all
from flowyml_aws.notices.notice import Notice, make_notice
from flowyml_aws.notices.webhook import post
from flowyml_aws.submission.status import RunStatus

if TYPE_CHECKING:
    from flowyml_aws.aws.connection.clients import AwsClients

__all__ = ["notice_of", "notify_end", "send_notice"]

_EVENT_KINDS = {"run-ended": "Run ended", "test": "Test notice"}


def send_notice(
    recipients: Sequence[str], notice: Notice, region: str | None
) -> Mapping[str, FlowymlError | None]:
    """Send a notice. Return the error of each recipient, or None.

    Args:
        recipients: Recipients, as `parse_recipient` reads them.
        notice: The notice.
        region: Region of buses and parameters without one; None for that of boto3.
    """
    from flowyml_aws.aws.connection.clients import AwsClients

    clients = AwsClients(region)
    parsed = [recipient for text in recipients if (recipient := parse_recipient(text)) is not None]
    return send_all(parsed, notice, lambda recipient, notice: _send(clients, recipient, notice))


def notice_of(store: ArtifactStore, status: RunStatus) -> Notice:
    """Return the notice of a run that has ended, with the URL of its report if that is stored."""
    layout = RunLayout(status.run_id)
    report = None
    with suppress(FlowymlError, OSError):
        store.age_s(layout.report)
        report = _url(f"{store.uri}/{layout.report}")
    return make_notice(status, f"{store.uri}/{layout.prefix}", report)


def notify_end(
    store: ArtifactStore, recipients: Sequence[str], region: str | None, status: RunStatus
) -> None:
    """Send the notices of a run that has ended, and write their record.

    The run has ended whatever happens here.
    """
    errors = send_notice(recipients, notice_of(store, status), region)
    with suppress(FlowymlError, OSError):
        record_deliveries(store, status.run_id, errors, time.time())


def _send(clients: AwsClients, recipient: Recipient, notice: Notice) -> None:
    """Send a notice to one recipient.

    Raises:
        FlowymlError: It was not accepted.
    """
    body = notice.to_json()
    if recipient.kind == "webhook":
        post(_webhook_url(clients, recipient), body)
        return
    from flowyml_aws.aws.notices import publish, put_event

    if recipient.kind == "sns":
        attributes = {"kind": notice.kind, "state": notice.state, "pipeline": notice.pipeline}
        known = {name: value for name, value in attributes.items() if value}
        topic = recipient.address
        publish(clients.new("sns", recipient.region), topic, notice.text, body.decode(), known)
    else:
        events = clients.new("events", recipient.region)
        put_event(events, recipient.address, _EVENT_KINDS[notice.kind], body.decode())


def _webhook_url(clients: AwsClients, recipient: Recipient) -> str:
    """Return the URL of a webhook.

    Raises:
        NoticeError: The variable that contains it is not set here.
        AwsRefusedError: The secret that contains it can't be read.
    """
    name = recipient.variable
    if name is None:
        from flowyml_aws.aws.secrets import read_secret

        return read_secret(recipient.address, clients.new)
    if not os.environ.get(name):
        raise NoticeError(
            what=f"The variable {name} is not set",
            why=f"the recipient {recipient} names it, and this process has recorded the end of "
            "the run",
            fix="set it, or store the URL as a secret and write webhook:SECRET",
        )
    return os.environ[name]


def _url(uri: str) -> str:
    """Return a URL that shows an object: in the console of S3, or a file of this machine."""
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not slash:
        return uri
    return f"https://console.aws.amazon.com/s3/object/{bucket}?prefix={quote(key)}"
