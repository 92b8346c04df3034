"""The HTTP server: the emulator's own handlers, and moto's services for all other requests."""

from __future__ import annotations

import io
import json
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from threading import RLock, Thread
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import ThreadedWSGIServer

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing.api import Api
from flowyml_aws.testing.batch.metadata_api import METADATA_PATH, InstanceMetadata
from flowyml_aws.testing.batch.task_agent import TASK_PATH, TaskAgent
from flowyml_aws.testing.calls import (
    ApiCall,
    ApiRequest,
    api_call,
    headers_of,
    query_of,
    read_body,
    signing_scope,
)
from flowyml_aws.testing.clock import Clock
from flowyml_aws.testing.iam.changes import IamChanges
from flowyml_aws.testing.iam.guard import AccessError, Guard
from flowyml_aws.testing.iam.refusals import response_to
from flowyml_aws.testing.object_times import date_written_object
from flowyml_aws.testing.offerings import offerings
from flowyml_aws.testing.pricing_api import get_products, spot_price_history
from flowyml_aws.testing.refusal import Refusal
from flowyml_aws.testing.registry.application import Registry
from flowyml_aws.testing.registry.routes import is_for_registry
from flowyml_aws.testing.schedules import Schedules
from flowyml_aws.testing.shells.sessions import SESSION_PATH, Sessions
from flowyml_aws.testing.web_pages import foreign_request, without_cors

__all__ = ["Application", "Moto", "Server", "listen"]

_HOST = "127.0.0.1"
_TLS_HANDSHAKE = b"\x16"
# Amazon S3 User Guide, "How to prevent object overwrites with conditional writes".
_FAILED_CONDITION = (
    b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you "
    b"specified did not hold</Message><Condition>If-None-Match</Condition></Error>"
)
_PRICES = {("pricing", "GetProducts"), ("ec2", "DescribeSpotPriceHistory")}


class Moto(DomainDispatcherApplication):
    """moto's services by the host of a request, cached per host.

    moto lists its folders on disk for each request, which takes a third of the request's time.
    """

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._services: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Return the service for a host, or None."""
        if host not in self._services:
            self._services[host] = super().get_backend_for_host(host)
        return self._services[host]


class Application:
    """WSGI application: records each call, and passes it to a handler of the emulator or to moto.

    Args:
        apis: Services of the emulator, by their names in boto3.
        schedules: Schedules of EventBridge Scheduler.
        guard: Access control.
        lock: Guards all state, and moto.
        clock: Clock of the account; each request ends at most one delay of a service.
        iam: Roles and policies that do not take effect yet.
        keep_requests: Whether to record `requests`.
        metadata: Metadata of the instances of jobs.
        agent: Agent of ECS, with the metadata of their tasks.
        sessions: Sessions with shells in jobs.
        clock_skew_s: Function that returns the seconds by which the services' clocks are ahead.
        registry: Registry of the account's images.
        price_factor: Prices as a multiple of those in the catalog.
        has_moto_api: Whether moto's own API is switched on.

    Attributes:
        calls: Calls so far, in order.
        requests: Same calls with caller and response status, in the order of the responses.
    """

    def __init__(
        self,
        apis: Mapping[str, Api],
        schedules: Schedules,
        guard: Guard,
        lock: RLock,
        clock: Clock,
        iam: IamChanges,
        keep_requests: bool,
        metadata: InstanceMetadata,
        agent: TaskAgent,
        sessions: Sessions,
        clock_skew_s: Callable[[], float],
        registry: Registry,
        price_factor: float,
        has_moto_api: bool,
    ) -> None:
        self.calls: list[ApiCall] = []
        self.requests: list[ApiRequest] = []
        self._apis = apis
        self._schedules = schedules
        self._guard = guard
        self._keep_requests = keep_requests
        self._metadata = metadata
        self._agent = agent
        self._sessions = sessions
        self._clock_skew_s = clock_skew_s
        self._registry = registry
        self._price_factor = price_factor
        self._has_moto_api = has_moto_api
        self._lock = lock
        self._clock = clock
        self._iam = iam
        self._moto = Moto()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response = without_cors(start_response)
        if (reason := foreign_request(environ, self._has_moto_api)) is not None:
            read_body(environ)  # otherwise, closing the connection resets it
            _, service = signing_scope(environ)
            return _deny(AccessError("denied", reason), service, environ, start_response)
        if is_for_registry(environ):
            return self._serve_registry(environ, start_response)
        # The body is read before the lock is acquired: a slow client must not block others.
        body = read_body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith(METADATA_PATH):
            return self._metadata(environ, start_response)
        if environ["PATH_INFO"].startswith(TASK_PATH):
            return self._agent(environ, start_response)
        if environ["PATH_INFO"].startswith(SESSION_PATH):
            return self._sessions(environ, start_response)
        if environ["PATH_INFO"].startswith("/moto-api"):
            return self._forward_to_moto(environ, start_response)
        self._clock.skip_delay()
        call = api_call(environ, body)
        self.calls.append(call)
        try:
            with self._lock:
                caller = self._guard.identify(environ)
                if self._keep_requests:
                    start_response = self._recording(call, caller.name, body, start_response)
                self._guard.check(
                    caller,
                    ApiRequest(
                        call,
                        caller.name,
                        body,
                        query=query_of(environ),
                        headers=headers_of(environ),
                    ),
                )
        except AccessError as error:
            return _deny(error, call.service, environ, start_response)
        region, _ = signing_scope(environ)
        if call[:2] in _PRICES:
            return self._respond_with_prices(call.service, body, region, start_response)
        if call[:2] == ("s3", "CompleteMultipartUpload"):
            return self._complete_upload(call, environ, start_response)
        if call.service == "iam":
            with self._lock:
                missing = self._iam.follow(call.operation, body)
            if missing is not None:
                return _send(start_response, "404 Not Found", "text/xml", missing)
        if call[:2] == ("ec2", "DescribeInstanceTypeOfferings"):
            return offerings(self._forward_to_moto, environ, start_response, region, body)
        if call[:2] == ("ecr", "GetAuthorizationToken"):
            return _respond(start_response, "200 OK", self._registry.authorize(environ))
        if call.service == "scheduler":
            with self._lock:
                self._schedules.prepare()
                response = self._forward_to_moto(environ, start_response)
                self._schedules.changed()
                return response
        if (api := self._apis.get(call.service)) is None:
            with self._lock:
                response = self._forward_to_moto(environ, start_response)
                date_written_object(call, self._clock_skew_s())
                return response
        try:
            if handler := api.handlers.get(call.operation):
                with self._lock:
                    described = handler(json.loads(body or b"{}"), region, len(body))
                    return _respond(start_response, "200 OK", described)
            if rewrite := api.rewrites.get(call.operation):
                body = json.dumps(rewrite(json.loads(body or b"{}"), region)).encode()
                environ["wsgi.input"] = io.BytesIO(body)
                environ["CONTENT_LENGTH"] = str(len(body))
        except Refusal as refusal:
            return _refuse(start_response, refusal)
        return self._forward_to_moto(environ, start_response)

    def _complete_upload(
        self, call: ApiCall, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        """Complete an upload if its condition holds, which moto does not check."""
        with self._lock:
            if environ.get("HTTP_IF_NONE_MATCH") == "*" and self._guard.exists(call.resource):
                return _send(
                    start_response, "412 Precondition Failed", "application/xml", _FAILED_CONDITION
                )
            return self._forward_to_moto(environ, start_response)

    def _serve_registry(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._clock.skip_delay()

        def begin(call: ApiCall, caller: str) -> Any:
            self.calls.append(call)
            if not self._keep_requests:
                return start_response
            return self._recording(call, caller, b"", start_response)

        return self._registry(environ, start_response, begin)

    def _recording(
        self, call: ApiCall, caller: str, body: bytes, start_response: Callable[..., Any]
    ) -> Callable[..., Any]:
        is_content = call.operation in ("PutObject", "UploadPart")

        def start(status: str, *rest: Any) -> Any:
            recorded = b"" if is_content else body
            status_code = int(status.split()[0])
            self.requests.append(ApiRequest(call, caller, recorded, status_code))
            return start_response(status, *rest)

        return start

    def _respond_with_prices(
        self, service: str, body: bytes, region: str, start_response: Any
    ) -> Iterable[bytes]:
        try:
            if service == "pricing":
                products = get_products(json.loads(body), self._price_factor)
                return _respond(start_response, "200 OK", products)
            now = datetime.fromtimestamp(self._clock.now(), timezone.utc).isoformat()
            history = spot_price_history(body, region, now, self._price_factor)
            return _send(start_response, "200 OK", "text/xml", history)
        except Refusal as refusal:
            return _refuse(start_response, refusal)

    def _forward_to_moto(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            response: Iterable[bytes] = self._moto(environ, start_response)
            return response


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine; 0 for any free port.

    Raises:
        SettingsError: The port is not available.
    """
    try:
        if not 0 <= port <= 65535:
            raise OSError("a port must be between 0 and 65535")
        return socket.create_server((_HOST, port), backlog=1024)
    except OSError as error:
        raise SettingsError(
            what=f"The emulator can't listen on port {port}",
            why=str(error),
            fix="choose another port, or 0 for any free port",
        ) from error


class Server:
    """Serves an application on a listening socket until it is stopped.

    Args:
        application: WSGI application.
        clock_skew_s: Function that returns the seconds by which the services' clocks are ahead.
        listener: Listening socket.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        clock_skew_s: Callable[[], float],
        listener: socket.socket,
    ) -> None:
        self._server = _Server(application, clock_skew_s, listener)
        self._thread = Thread(target=self._serve, name="aws-emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting requests."""
        self._server.is_stopping = True
        socket.create_connection((_HOST, self._server.port)).close()  # wakes the thread
        self._thread.join()

    def _serve(self) -> None:
        # Not serve_forever: it polls, so that stopping takes up to half a second.
        with self._server:
            while not self._server.is_stopping:
                self._server.handle_request()


class _Server(ThreadedWSGIServer):
    is_stopping = False

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        clock_skew_s: Callable[[], float],
        listener: socket.socket,
    ) -> None:
        host, port = listener.getsockname()
        super().__init__(host, port, application, _Handler, fd=listener.fileno())
        self.clock_skew_s = clock_skew_s

    def verify_request(self, request: Any, client_address: Any) -> bool:
        # Each request starts a thread, which fails while the interpreter shuts down.
        return not self.is_stopping


class _Handler(MotoRequestHandler):
    # Headers and body are two writes: with Nagle's algorithm the second waits for an ACK.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve a connection, unless it starts with TLS, which container engines try first."""
        with suppress(ConnectionError):
            if self.connection.recv(1, socket.MSG_PEEK) != _TLS_HANDSHAKE:
                super().handle()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the value of the Date header, with the clock skew applied.

        It is not the account's clock, which may be ahead: clients compare it with their own.
        """
        assert isinstance(self.server, _Server)
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + self.server.clock_skew_s())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: `calls` records the requests."""


def _deny(
    error: AccessError, service: str, environ: Mapping[str, Any], start_response: Any
) -> Iterable[bytes]:
    content_type = environ.get("CONTENT_TYPE", "")
    response = response_to(error, service, environ["REQUEST_METHOD"], content_type)
    return _send(
        start_response, response.status, response.content_type, response.body, response.error
    )


def _refuse(start_response: Any, refusal: Refusal) -> Iterable[bytes]:
    return _respond(start_response, "400 Bad Request", refusal.body, type(refusal).__name__)


def _respond(
    start_response: Any, status: str, response: Any, error: str | None = None
) -> Iterable[bytes]:
    return _send(start_response, status, "application/json", json.dumps(response).encode(), error)


def _send(
    start_response: Any, status: str, kind: str, body: bytes, error: str | None = None
) -> Iterable[bytes]:
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    headers.append(("x-amzn-RequestId", str(uuid.uuid4())))
    if error is not None:
        headers.append(("x-amzn-ErrorType", error))
    start_response(status, headers)
    return [body]
