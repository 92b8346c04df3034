"""The check of a proof that sends a test notice. Not yet run on AWS."""

from __future__ import annotations

from flowyml_aws.core.errors import FlowymlError, NoticeError
from flowyml_aws.doctor.prove.notified import check_notices

DENIED = NoticeError(what="Refused", why="denied", fix="allow it")


def test_notices_agree_if_each_recipient_accepts_one() -> None:
    row = check_notices(["events:a", "events:b"], lambda: {"events:a": None, "events:b": None})
    assert (row.check, row.verdict, row.observed) == ("notices", "agreed", "2 of 2 notices sent")


def test_a_recipient_that_refuses_a_notice_is_a_deviation_with_the_reason() -> None:
    row = check_notices(["events:a", "events:b"], lambda: {"events:a": None, "events:b": DENIED})
    assert (row.verdict, row.observed) == ("deviated", "1 of 2 notices sent")
    assert row.reason == "events:b: Refused: denied; allow it"


def test_a_recipient_that_is_invalid_is_a_deviation() -> None:
    def send() -> dict[str, FlowymlError | None]:
        raise DENIED

    assert check_notices(["mail:me"], send).verdict == "deviated"


def test_without_recipients_no_notice_is_sent() -> None:
    row = check_notices([], dict)
    assert (row.verdict, row.reason) == ("not checked", "the setting `notify` is not set")
