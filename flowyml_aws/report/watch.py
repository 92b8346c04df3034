"""The page of a run that has not ended, served to a browser on this machine."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flowyml_aws.core.clock import monotonic
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.report.data import RunReport, StepEntry
from flowyml_aws.report.page import to_html
from flowyml_aws.submission.record import RunState

__all__ = ["serving"]

_PERIOD_S = 5.0  # also in templates/watch.js


@dataclass
class _Latest:
    """The latest report of a run, collected again at most every few seconds."""

    collect: Callable[[], RunReport]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _report: RunReport | None = None
    _next_s: float = 0.0

    def report(self) -> RunReport:
        with self._lock:
            started_s = monotonic()
            if self._report is None or (
                started_s >= self._next_s and self._report.state is RunState.RUNNING
            ):
                self._report = self.collect()
                taken_s = monotonic() - started_s
                self._next_s = monotonic() + max(_PERIOD_S, 4 * taken_s)
            return self._report


@contextmanager
def serving(collect: Callable[[], RunReport]) -> Iterator[str]:
    """Serve the page on this machine, and yield its URL. Only who knows the URL can read it.

    Args:
        collect: Returns the current report. It is called while a browser shows the page.
    """
    latest = _Latest(collect)
    token = secrets.token_urlsafe(24)

    class Handler(BaseHTTPRequestHandler):
        """Answers requests for the page and its version."""

        def do_GET(self) -> None:
            # Another host name would let pages of other sites read the answers (DNS rebinding).
            is_direct = self.headers.get("Host") == f"127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            try:
                if is_direct and self.path == f"/{token}/":
                    page = to_html(latest.report(), watched=True)
                    self._answer(page, "text/html; charset=utf-8")
                elif is_direct and self.path == f"/{token}/version":
                    self._answer(_version(latest.report()), "application/json")
                else:
                    self.send_error(HTTPStatus.NOT_FOUND)
            except FlowymlError:  # an outage, for example; the page asks again
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)

        def log_message(self, format: str, *arguments: object) -> None:
            pass  # the terminal shows only the URL

        def _answer(self, text: str, content_type: str) -> None:
            data = text.encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{token}/"
        finally:
            server.shutdown()
            thread.join()


def _logged(step: StepEntry) -> list[int]:
    """Return the numbers of points of the metrics of a step, and of its other logged values."""
    if step.logged is None:
        return []
    logged = step.logged
    others = len(logged.images) + len(logged.tables) + len(logged.texts)
    return [*(series.count for series in logged.metrics.values()), others]


def _version(report: RunReport) -> str:
    """Return JSON with a digest that changes when the page has something new to show."""
    facts = [
        [
            (job.state_name, job.attempt, len(job.log.tail or job.log.head) if job.log else 0)
            for job in report.jobs
        ],
        [(step.state, step.retries, step.ended_at, _logged(step)) for step in report.steps],
        [approval.state for approval in report.approvals],
    ]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return json.dumps({"version": digest, "ended": report.state is not RunState.RUNNING})
