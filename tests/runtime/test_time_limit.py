from __future__ import annotations

import faulthandler
import threading
from contextlib import suppress
from typing import Any

import pytest

from flowyml_aws.runtime.time_limit import StepTimeout, call_within


def test_the_last_line_of_defence_does_not_cut_off_the_commit_of_a_stuck_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commit waits for the store, perhaps for minutes."""
    last_line: list[str] = []

    def arm(*_: Any, **__: Any) -> None:
        last_line.append("armed")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", arm)
    monkeypatch.setattr(
        faulthandler, "cancel_dump_traceback_later", lambda: last_line.append("cancelled")
    )
    at_commit: list[str] = []
    committed = threading.Event()

    def commit() -> None:
        at_commit.extend(last_line)
        committed.set()

    def ignore_the_limit() -> None:
        while not committed.is_set():
            with suppress(StepTimeout):
                committed.wait()

    with pytest.raises(StepTimeout):
        call_within(0.01, ignore_the_limit, on_stuck=commit, grace_s=0.01)
    assert at_commit == ["armed", "cancelled"]
