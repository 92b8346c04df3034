"""The owner of a connection."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from flowyml_aws.testing.sockets import owner_of

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports it"),
]


def test_the_owner_of_a_connection_is_the_user_of_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert owner_of(connection.getsockname()[1], port) == os.getuid()


def test_a_connection_that_does_not_exist_has_no_owner() -> None:
    assert owner_of(1, 1) is None
