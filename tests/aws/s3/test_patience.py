from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ResponseStreamingError,
    SSLError,
)

from flowyml_aws.aws.answers import ForeignAnswerError
from flowyml_aws.aws.s3.patience import CLIENT, Patience, Repetition, patience_of_job
from tests.support.clocks import TestClock

JOB = patience_of_job(600)
UNREACHABLE = EndpointConnectionError(endpoint_url="https://s3")
RESET = ConnectionClosedError(endpoint_url="https://s3")


def answer(status: int, code: str) -> ClientError:
    metadata = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "GetObject")  # type: ignore[typeddict-item]


class Service:
    """Fails with an error until the outage ends, at a time of the clock."""

    def __init__(self, error: Exception, outage_s: float = float("inf")) -> None:
        self.clock = TestClock()
        self.error, self.outage_s, self.calls = error, outage_s, 0
        self.said: list[str] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.clock.now < self.outage_s:
            raise self.error
        return "answer"

    def repetition(self, patience: Patience) -> Repetition:
        return Repetition(patience, self.said.append, self.clock.sleep, self.clock)


@pytest.mark.parametrize(
    "error",
    [
        answer(503, "SlowDown"),
        answer(500, "InternalError"),
        answer(400, "RequestTimeout"),
        answer(409, "ConditionalRequestConflict"),
        RESET,
        ResponseStreamingError(error="cut"),
        answer(400, "ExpiredToken"),
    ],
    ids=str,
)
def test_a_job_waits_for_an_outage_of_minutes_to_end(error: Exception) -> None:
    service = Service(error, outage_s=580)
    assert service.repetition(JOB)(service, "read it") == "answer"
    assert service.clock.now < 600


def test_a_job_gives_up_at_its_deadline() -> None:
    service = Service(RESET)
    with pytest.raises(ConnectionClosedError):
        service.repetition(patience_of_job(120))(service, "read it")
    assert 100 < service.clock.now <= 120


@pytest.mark.parametrize(
    "error",
    [
        answer(403, "AccessDenied"),
        answer(404, "NoSuchKey"),
        answer(501, "NotImplemented"),
        NoCredentialsError(),
        SSLError(endpoint_url="https://s3", error=ValueError("certificate verify failed")),
        ForeignAnswerError(operation="GetObject"),
        ValueError("a bug"),
    ],
    ids=str,
)
def test_a_call_that_will_not_succeed_later_is_not_repeated(error: Exception) -> None:
    service = Service(error)
    with pytest.raises(type(error)):
        service.repetition(JOB)(service, "read it")
    assert service.calls == 1


def test_a_network_that_never_worked_is_given_up_sooner() -> None:
    service = Service(UNREACHABLE)
    with pytest.raises(EndpointConnectionError):
        service.repetition(JOB)(service, "read it")
    assert 45 < service.clock.now <= 60


def test_a_network_that_worked_before_may_come_back() -> None:
    service = Service(UNREACHABLE, outage_s=0)
    repeat = service.repetition(JOB)
    repeat(service, "read it")
    service.outage_s = service.clock.now + 500
    assert repeat(service, "read it") == "answer"


def test_a_client_reports_a_missing_network_and_expired_credentials_at_once() -> None:
    for error in (UNREACHABLE, answer(400, "ExpiredToken")):
        service = Service(error)
        with pytest.raises(type(error)):
            service.repetition(CLIENT)(service, "read it")
        assert service.calls == 1


def test_an_outage_is_reported_once_when_it_begins_and_once_when_it_ends() -> None:
    service = Service(RESET, outage_s=300)
    service.repetition(JOB)(service, "read s3://b/k")
    begin, end = service.said
    assert begin.startswith("can't read s3://b/k: trying for up to 600 s\nConnection was closed")
    assert end.startswith("could read s3://b/k after 3")


def test_a_short_interruption_is_not_reported() -> None:
    service = Service(RESET, outage_s=0.5)
    service.repetition(JOB)(service, "read it")
    assert service.said == []


def test_the_waits_between_calls_grow_to_ten_seconds() -> None:
    service = Service(RESET, outage_s=100)
    waits: list[float] = []
    sleep: Callable[[float], None] = service.clock.sleep

    def record(seconds: float) -> None:
        waits.append(seconds)
        sleep(seconds)

    Repetition(JOB, sleep=record, clock=service.clock)(service, "read it")
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(waits) == 10
