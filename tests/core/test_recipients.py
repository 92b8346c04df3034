"""Recipients of notices: which strings name one, and that no error shows a URL."""

from __future__ import annotations

import pytest

from flowyml_aws.core.recipients import parse_recipient, recipient_problems

TOPIC = "arn:aws:sns:eu-west-1:123456789012:runs"
BUS = "arn:aws-cn:events:cn-north-1:123456789012:event-bus/team"


@pytest.mark.parametrize(
    "text",
    [
        f"sns:{TOPIC}",
        "events:default",
        f"events:{BUS}",
        "webhook:/team/hook",
        "webhook:arn:aws:secretsmanager:us-east-1:123456789012:secret:hook-AbCdEf:url::",
        "webhook:env:HOOK_URL",
    ],
)
def test_a_recipient_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_recipient(text)) == text
    assert recipient_problems([text], "x") == []


def test_the_region_of_a_topic_or_a_bus_is_that_of_its_arn() -> None:
    texts = [f"sns:{TOPIC}", f"events:{BUS}", "events:default", "webhook:/team/hook"]
    regions = [r.region for r in map(parse_recipient, texts) if r is not None]
    assert regions == ["eu-west-1", "cn-north-1", None, None]


@pytest.mark.parametrize(
    "text",
    [
        TOPIC,
        "sns:runs",
        f"sns:{TOPIC}.fifo",
        "events:",
        "events:arn:aws:sns:us-east-1:123456789012:runs",
        "webhook:",
        "webhook:env:9",
        "slack:general",
    ],
)
def test_anything_else_is_an_error_with_the_forms(text: str) -> None:
    (problem,) = recipient_problems([text], "the option notify")
    assert "in the option notify" in problem.what
    assert "webhook:env:VARIABLE" in problem.why


@pytest.mark.parametrize(
    "text", ["https://hooks.example.com/s3cret", "webhook:https://hooks.example.com/s3cret"]
)
def test_a_url_is_refused_and_not_shown(text: str) -> None:
    (problem,) = recipient_problems([text], "the setting notify")
    assert "s3cret" not in str(problem)
    assert "webhook:SECRET" in problem.fix


@pytest.mark.parametrize("value", ["sns:x", 5, {"webhook:https://h/s3cret": 1}.items])
def test_recipients_are_a_list(value: object) -> None:
    (problem,) = recipient_problems(value, "the option notify")
    assert "expected a list" in problem.what
