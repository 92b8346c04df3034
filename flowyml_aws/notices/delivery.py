"""Sending of a notice to its recipients, and the record of what was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, FlowymlError, NoticeError
from flowyml_aws.core.recipients import Recipient
from flowyml_aws.notices.notice import Notice

__all__ = [
    "SEND_LIMIT_S",
    "Deliveries",
    "Send",
    "delivery_notes",
    "read_deliveries",
    "record_deliveries",
    "send_all",
]

SEND_LIMIT_S = 60.0
"""Real seconds for all recipients together. What has not been accepted then counts as failed."""

Send = Callable[[Recipient, Notice], None]
"""Sends a notice to one recipient, or raises a `FlowymlError`."""


class Deliveries(Document):
    """Record of the notices of a run, written once by the client that sent them.

    Attributes:
        sent_at: Seconds since the epoch.
        recipients: Recipients of the run.
        failed: Reason for each recipient that has not accepted its notice.
    """

    version: Literal[1] = 1
    sent_at: float
    recipients: tuple[str, ...]
    failed: dict[str, str]


def send_all(
    recipients: Sequence[Recipient], notice: Notice, send: Send, limit_s: float = SEND_LIMIT_S
) -> Mapping[str, FlowymlError | None]:
    """Send a notice to all recipients at once. Return the error of each, or None, in their order.

    Args:
        recipients: The recipients.
        notice: The notice.
        send: Sends it to one of them.
        limit_s: Real seconds for all of them together. A thread that still sends then is left
            alone: it may succeed or fail later.
    """
    ended: dict[Recipient, FlowymlError | None] = {}
    all_ended = threading.Event()

    def attempt(recipient: Recipient) -> None:
        error: FlowymlError | None = None
        try:
            send(recipient, notice)
        except FlowymlError as raised:
            error = raised
        except Exception as raised:  # a bug here must not delay or fail the run
            error = _unexpected(recipient, raised)
        ended[recipient] = error
        if len(ended) == len(wanted):
            all_ended.set()

    wanted = tuple(dict.fromkeys(recipients))
    for recipient in wanted:
        threading.Thread(target=attempt, args=(recipient,), daemon=True).start()
    if wanted:
        all_ended.wait(limit_s)
    known = dict(ended)
    return {
        str(each): known[each] if each in known else _too_late(each, limit_s) for each in wanted
    }


def _too_late(recipient: Recipient, limit_s: float) -> FlowymlError:
    return NoticeError(
        what=f"{recipient} has not accepted the notice",
        why=f"it has not answered within {limit_s:g} s",
        fix="send it again with `flowyml-aws notify RUN`",
    )


def _unexpected(recipient: Recipient, error: Exception) -> FlowymlError:
    return NoticeError(
        what=f"The notice to {recipient} could not be sent",
        why=f"unexpected {type(error).__name__}",  # its text may contain the URL of a webhook
        fix="report it as a bug of flowyml-aws",
    )


def record_deliveries(
    store: ArtifactStore, run_id: str, errors: Mapping[str, FlowymlError | None], now: float
) -> None:
    """Write the record of the notices of a run, unless it exists."""
    failed = {name: f"{e.what}: {e.why.rstrip('.')}" for name, e in errors.items() if e is not None}
    document = Deliveries(sent_at=now, recipients=tuple(errors), failed=failed)
    store.create(RunLayout(run_id).notices, document.to_json())


def delivery_notes(run_id: str, wanted: Sequence[str], deliveries: Deliveries | None) -> list[str]:
    """Return lines on the notices of a run that has ended, for its readers.

    Args:
        run_id: The run.
        wanted: Recipients in its plan.
        deliveries: Their record; None if no client has written it.
    """
    if not wanted:
        return []
    again = f"send it with `flowyml-aws notify {run_id}`"
    if deliveries is None:
        return [
            "warning: no notice of the end is recorded: the client that has recorded the end may "
            f"still be sending it, or has died before; {again}"
        ]
    sent = [name for name in deliveries.recipients if name not in deliveries.failed]
    lines = [f"notice sent to {', '.join(sent)}"] if sent else []
    failed = deliveries.failed.items()
    return [*lines, *(f"warning: no notice to {name}: {why}; {again}" for name, why in failed)]


def read_deliveries(store: ArtifactStore, run_id: str) -> Deliveries | None:
    """Return the record of the notices of a run; None if no client has written it."""
    key = RunLayout(run_id).notices
    try:
        return read_document(Deliveries, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None
