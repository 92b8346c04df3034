"""Host networking, the only network mode of Batch on EC2: jobs of an instance share its ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.contract

LISTEN = """
import socket, time
with socket.create_server(("127.0.0.1", {})) as server:
    print("port", server.getsockname()[1])
    time.sleep({})
"""


def port_of(batch: Any, job: str) -> str | None:
    """Return the port that a job listens on, once it has printed it."""
    return next((line.split()[1] for line in batch.log(job) if line.startswith("port ")), None)


@pytest.fixture
def listening(batch: Any, eventually: Callable[..., Any]) -> str:
    """The port of a job that runs."""
    job = batch.submit(LISTEN.format(0, 60))
    return str(eventually(lambda: port_of(batch, job), "a job listening"))


def test_a_second_job_cannot_use_the_port_of_the_first(batch: Any, listening: str) -> None:
    second = batch.ended(batch.submit(LISTEN.format(listening, 0)))
    assert second["status"] == "FAILED"
    assert any("Address already in use" in line for line in batch.log(second["jobId"]))


def test_jobs_that_take_port_0_have_different_ports(batch: Any, listening: str) -> None:
    second = batch.ended(batch.submit(LISTEN.format(0, 0)))
    assert second["status"] == "SUCCEEDED"
    assert port_of(batch, second["jobId"]) not in (None, listening)


def test_a_job_reaches_another_job_of_its_instance(batch: Any, listening: str) -> None:
    code = f"import socket; socket.create_connection(('127.0.0.1', {listening})).close()"
    assert batch.ended(batch.submit(code))["status"] == "SUCCEEDED"
