from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Barrier, Event

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.examination import Check, examine

FINE = Finding("fine", "ok", "it is fine")


def fine() -> Sequence[Finding]:
    return [FINE]


def impossible() -> Sequence[Finding]:
    raise SettingsError("it is not there", "nobody made it", "make it")


def told(*checks: Check) -> dict[str, list[tuple[str, str]]]:
    return {r.check: [(f.level, f.what) for f in r.findings] for r in examine(checks)}


def test_checks_that_know_nothing_of_each_other_run_at_the_same_time() -> None:
    both = Barrier(2, timeout=30)

    def meet() -> Sequence[Finding]:
        both.wait()
        return [FINE]

    assert set(told(Check("a", meet), Check("b", meet))) == {"a", "b"}


def test_a_report_comes_as_soon_as_its_check_is_done() -> None:
    seen = Event()

    def wait() -> Sequence[Finding]:
        assert seen.wait(30)
        return [FINE]

    order = []
    for report in examine([Check("slow", wait), Check("quick", fine)]):
        order.append(report.check)
        seen.set()
    assert order == ["quick", "slow"]


def test_a_check_that_can_not_look_is_one_finding_and_the_others_go_on() -> None:
    assert told(Check("a", impossible), Check("b", fine)) == {
        "a": [("error", "it is not there")],
        "b": [("ok", "it is fine")],
    }


def test_how_bad_it_is_that_a_check_can_not_look_is_its_own() -> None:
    assert told(Check("a", impossible, severity="warning"))["a"] == [("warning", "it is not there")]


def test_what_depends_on_a_failed_check_is_not_checked_and_says_why() -> None:
    reports = examine([Check("a", impossible), Check("b", fine, ("a",)), Check("c", fine, ("b",))])
    why = {r.check: [(f.level, f.why) for f in r.findings] for r in reports}
    assert why["b"] == why["c"] == [("not checked", "a failed")]


def test_an_error_that_a_check_finds_does_not_stop_what_comes_after_it() -> None:
    broken = Finding("broken", "error", "it is broken")
    reports = told(Check("a", lambda: [broken]), Check("b", fine, ("a",)))
    assert reports["b"] == [("ok", "it is fine")]


def test_what_a_check_comes_after_may_be_missing() -> None:
    assert told(Check("b", fine, ("a",)))["b"] == [("ok", "it is fine")]


@pytest.mark.parametrize("look", [lambda: 1 / 0])
def test_a_mistake_of_our_own_is_not_told_as_a_finding(look: Callable[[], object]) -> None:
    with pytest.raises(ZeroDivisionError):
        told(Check("a", look))  # type: ignore[arg-type]  # it never returns
