"""Sending to several recipients, and the record of it."""

from __future__ import annotations

import threading
from pathlib import Path

from flowyml_aws.core.errors import NoticeError
from flowyml_aws.core.recipients import Recipient
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.notices.delivery import (
    delivery_notes,
    read_deliveries,
    record_deliveries,
    send_all,
)
from flowyml_aws.notices.notice import Notice, make_test_notice

A, B = Recipient("events", "a"), Recipient("events", "b")
NOTICE = make_test_notice("ana")


def refuse(recipient: Recipient, notice: Notice) -> None:
    if recipient == B:
        raise NoticeError("refused", "a reason", "a fix")


def test_a_failure_does_not_keep_the_notice_from_others() -> None:
    errors = send_all([B, A, A], NOTICE, refuse)
    assert list(errors) == ["events:b", "events:a"]
    assert errors["events:a"] is None
    assert errors["events:b"] is not None and errors["events:b"].what == "refused"


def test_a_recipient_that_does_not_answer_in_time_has_failed() -> None:
    answered = threading.Event()

    def send(recipient: Recipient, notice: Notice) -> None:
        if recipient == B:
            answered.wait()

    errors = send_all([A, B], NOTICE, send, limit_s=0.05)
    answered.set()
    assert errors["events:a"] is None
    assert errors["events:b"] is not None and "within 0.05 s" in errors["events:b"].why


def test_a_bug_is_a_failure_that_shows_no_url() -> None:
    def send(recipient: Recipient, notice: Notice) -> None:
        raise RuntimeError("https://hooks/s3cret")

    (error,) = send_all([A], NOTICE, send).values()
    assert error is not None and "RuntimeError" in error.why and "s3cret" not in str(error)


def test_the_first_record_of_deliveries_counts(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    assert read_deliveries(store, "r") is None
    record_deliveries(store, "r", send_all([A, B], NOTICE, refuse), 5.0)
    record_deliveries(store, "r", {}, 6.0)
    deliveries = read_deliveries(store, "r")
    assert deliveries is not None and deliveries.sent_at == 5.0
    assert delivery_notes("r", ["events:a", "events:b"], deliveries) == [
        "notice sent to events:a",
        "warning: no notice to events:b: refused: a reason; send it with `flowyml-aws notify r`",
    ]


def test_a_notice_that_was_perhaps_never_sent_has_a_warning() -> None:
    (line,) = delivery_notes("r", ["events:a"], None)
    assert line.startswith("warning: no notice") and "`flowyml-aws notify r`" in line


def test_a_run_without_recipients_has_no_lines() -> None:
    assert delivery_notes("r", [], None) == []
