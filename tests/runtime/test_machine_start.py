from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.runtime.machine_start import (
    METADATA_VARIABLE,
    ImagePull,
    machine_started_at,
    read_pull,
)

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-examples.html
TASK = {
    "Cluster": "default",
    "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c",
    "PullStartedAt": "2020-10-02T00:43:06.202617438Z",
    "PullStoppedAt": "2020-10-02T00:43:06.31288465Z",
}


def test_the_agent_reports_times_in_nanoseconds() -> None:
    pull = ImagePull.of_task(TASK)
    assert pull.started_at == pytest.approx(1601599386.202617, abs=1e-6)
    assert pull.ended_at == pytest.approx(1601599386.312885, abs=1e-6)


@pytest.mark.parametrize("metadata", [{}, {"PullStartedAt": None}, {"PullStartedAt": "soon"}])
def test_an_agent_may_not_report_the_pull(metadata: dict[str, Any]) -> None:
    assert ImagePull.of_task(metadata) == ImagePull()


def test_a_job_outside_ecs_has_no_pull() -> None:
    assert read_pull({}) == ImagePull()


def test_the_kernel_reports_its_start(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 3\nctxt 5\nbtime 1764496236\n")
    assert machine_started_at(tmp_path / "stat") == 1764496236
    assert machine_started_at(tmp_path / "none") is None


@pytest.fixture
def agent() -> Iterator[str]:
    """URI of a container at an agent that answers with `TASK`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/v4/container/task"
            body = json.dumps(TASK).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v4"
        server.shutdown()
        thread.join()


@pytest.mark.contract
def test_the_pull_is_read_from_the_agent(agent: str) -> None:
    environment = {METADATA_VARIABLE: f"{agent}/container"}
    assert read_pull(environment) == ImagePull.of_task(TASK)


@pytest.mark.contract
def test_an_agent_that_refuses_is_an_error(agent: str) -> None:
    with pytest.raises(ValueError, match="status 404"):
        read_pull({METADATA_VARIABLE: f"{agent}/other"})
