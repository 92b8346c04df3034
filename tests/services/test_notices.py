"""Notices through the emulated account, and the URLs of webhooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.notices.delivery import read_deliveries
from flowyml_aws.notices.notice import make_test_notice
from flowyml_aws.services.notices import notice_of, notify_end, send_notice
from flowyml_aws.submission.status import RunStatus

STATUS = RunStatus("digits-20261122-150531-3f9a1c", "digits", "batch", 0.0, ended_at=5.0)
NOTICE = make_test_notice("ana")


def test_a_notice_links_to_the_report_if_it_is_stored(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    layout = RunLayout(STATUS.run_id)
    assert notice_of(store, STATUS).report is None
    store.create(layout.report, b"<html>")
    notice = notice_of(store, STATUS)
    assert notice.report == f"{store.uri}/{layout.report}"
    assert notice.location == f"{store.uri}/{layout.prefix}"


def test_a_webhook_whose_variable_is_not_set_is_recorded_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    store = DirectoryArtifactStore(tmp_path)
    notify_end(store, ["webhook:env:HOOK"], None, STATUS)
    deliveries = read_deliveries(store, STATUS.run_id)
    assert deliveries is not None
    assert "The variable HOOK is not set" in deliveries.failed["webhook:env:HOOK"]


@pytest.mark.contract
def test_a_user_of_the_account_sends_to_its_topics_and_buses_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flowyml_aws.testing import Emulator
    from flowyml_aws.testing.account import NAMES
    from tests.support.alerts import Inbox

    with Emulator(propagation_s=0, warm_starts=False) as aws:
        inbox = Inbox(aws)
        aws.client("ssm").put_parameter(Name="/notices/hook", Value="ftp://x/s3cret", Type="String")
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        other = aws.client("sns").create_topic(Name="other")["TopicArn"]
        topic, hook = f"sns:{NAMES['topic_arn']}", "webhook:/notices/hook"
        errors = send_notice([topic, "events:default", f"sns:{other}", hook], NOTICE, None)
        assert (errors[topic], errors["events:default"]) == (None, None)
        assert "sns:Publish" in str(errors[f"sns:{other}"])
        assert "not an HTTPS URL" in str(errors[hook]) and "s3cret" not in str(errors[hook])
        assert inbox.read() == [json.loads(NOTICE.to_json())]
