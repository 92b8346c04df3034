"""Logged values: their checks, and the recorder that gets them."""

from __future__ import annotations

import logging
import os
import threading
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from flowyml_aws import log_image, log_metric, log_table, log_text
from flowyml_aws.core.errors import UnloggableValueError
from flowyml_aws.core.logged_images import Picture
from flowyml_aws.core.logged_tables import TableHead
from flowyml_aws.core.step_log import MAX_TEXT_BYTES, recording

PNG = b"\x89PNG\r\n\x1a\n"


class Recorded:
    """A recorder that keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def metric(self, name: str, value: float, step: int | None) -> None:
        self.calls.append((name, value, step))

    def image(self, name: str, image: Picture) -> None:
        self.calls.append((name, image))

    def table(self, name: str, table: TableHead) -> None:
        self.calls.append((name, table))

    def text(self, name: str, text: str, is_cut: bool) -> None:
        self.calls.append((name, text, is_cut))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (np.array([2.0]), 2.0),
        (10**400, float("inf")),
    ],
)
def test_every_kind_of_number_is_a_metric(value: Any, number: float) -> None:
    recorded = Recorded()
    with recording(recorded):
        log_metric("loss", value)
    assert recorded.calls == [("loss", number, None)]


@pytest.mark.parametrize("value", [True, np.True_, "0.5", None, 1j, [1], np.array([1, 2])])
def test_other_values_are_errors_with_a_fix(value: Any) -> None:
    with pytest.raises(UnloggableValueError) as caught, recording(Recorded()):
        log_metric("loss", value)
    assert "'loss' must be a number" in caught.value.what
    assert caught.value.fix.startswith("pass ")


def test_a_position_is_an_integer() -> None:
    recorded = Recorded()
    with recording(recorded):
        log_metric("loss", 1, step=np.int32(7))
        for step in (True, 1.5, "1", 2**70):
            with pytest.raises(UnloggableValueError, match="must be an integer"):
                log_metric("loss", 1, step=step)  # type: ignore[arg-type]
    assert recorded.calls == [("loss", 1.0, 7)]


@pytest.mark.parametrize("name", ["", " x", "a\nb", "a" * 129, "<script>", 5, None, "\x1b[2J"])
def test_invalid_names_are_errors_that_show_them(name: Any) -> None:
    for log in (
        lambda: log_metric(name, 1),
        lambda: log_text(name, "x"),
        lambda: log_table(name, [[1]]),
        lambda: log_image(name, PNG),
    ):
        with pytest.raises(UnloggableValueError, match="Invalid name of a logged value"):
            log()


def test_outside_of_a_step_values_are_checked_and_discarded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "flowyml_aws")
    log_metric("val/loss", 1)
    log_text("größe", "x")
    log_table("rows", [{"a": 1}])
    log_image("plot", PNG)
    assert "metric 'val/loss' is not kept" in caplog.text
    with pytest.raises(UnloggableValueError):
        log_metric("loss", "high")


def test_threads_of_the_step_log_too() -> None:
    recorded = Recorded()
    with recording(recorded):
        thread = threading.Thread(target=log_metric, args=("loss", 1, 2))
        thread.start()
        thread.join()
    assert recorded.calls == [("loss", 1.0, 2)]


def test_another_process_logs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    with recording(recorded):
        monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a fork
        log_metric("loss", 1)
    assert recorded.calls == []


def test_a_long_text_is_cut_at_a_character() -> None:
    recorded = Recorded()
    with recording(recorded):
        log_text("report", "é" * MAX_TEXT_BYTES)
        log_text("report", "short")
        with pytest.raises(UnloggableValueError, match="must be a string, got dict"):
            log_text("report", {})  # type: ignore[arg-type]
    assert recorded.calls == [
        ("report", "é" * (MAX_TEXT_BYTES // 2), True),
        ("report", "short", False),
    ]
