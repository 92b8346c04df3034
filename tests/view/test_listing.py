from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from flowyml_aws.client.listing import ListedRun
from flowyml_aws.view import runs_table
from flowyml_aws.view.terminal import Terminal

RUN = ListedRun(
    run_id="digits-20261122-150531-3f9a1c",
    pipeline="digits",
    backend="batch",
    state="succeeded",
    created_at=1795359931.0,
    ended_at=1795360241.0,
    cost_usd=0.0421,
    store="s3://bucket",
    needs_client=False,
)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def lines(*runs: ListedRun, now: float = 0.0, **options: object) -> list[str]:
    terminal = Terminal(file=io.StringIO(), **options)
    terminal.print(runs_table(runs, now))
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_run_is_a_line_with_its_local_time_duration_and_cost() -> None:
    local = replace(RUN, run_id="a-20261122-150531-3f9a1d", cost_usd=None, backend="local")
    header, first, second = lines(RUN, local)
    assert header.split() == ["run", "pipeline", "backend", "state", "started", "duration", "cost"]
    assert " ".join(first.split()).endswith("2026-11-22 16:05:31 CET 5 min $0.0421")
    assert second.index("succeeded") == first.index("succeeded") == header.index("state")


def test_a_running_run_shows_the_time_until_now() -> None:
    running = replace(RUN, state="running", ended_at=None, cost_usd=None)
    assert lines(running, now=RUN.created_at + 30)[1].endswith(" 30.0 s")


def test_a_sub_run_names_the_run_and_the_step_that_it_is_part_of() -> None:
    header, first, second = lines(RUN, replace(RUN, part_of="digits-20261122/search"))
    assert header.split()[-2:] == ["part", "of"]
    assert first.endswith("$0.0421")
    assert second.endswith("digits-20261122/search")


@pytest.mark.parametrize("state", ["unknown", "unreadable"])
def test_a_run_whose_end_is_unknown_has_no_duration(state: str) -> None:
    assert lines(replace(RUN, state=state, ended_at=None, cost_usd=None))[1].endswith("CET")


def test_a_narrow_terminal_shows_fewer_columns_and_whole_ids() -> None:
    header, line = lines(RUN, width=72, force_terminal=True, color_system=None)
    assert header.split() == ["run", "state", "started"]
    assert line.split()[0] == RUN.run_id
