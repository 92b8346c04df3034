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


LOCALHOST = "127.0.0.1"


def test_the_owner_of_a_connection_is_the_user_of_its_process() -> None:
    with (
        socket.create_server((LOCALHOST, 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        assert owner_of(connection.getsockname(), server.getsockname()) == os.getuid()


def test_a_connection_that_does_not_exist_has_no_owner() -> None:
    assert owner_of((LOCALHOST, 1), (LOCALHOST, 1)) is None


def test_a_connection_that_has_ended_has_no_owner() -> None:
    with socket.create_server((LOCALHOST, 0)) as server:
        with socket.create_connection(server.getsockname()) as connection:
            address = connection.getsockname()
        assert owner_of(address, server.getsockname()) is None
