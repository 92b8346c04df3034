from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Barrier, Event

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.examination import Check, examine

FINE = Finding("fine", "ok", "It is fine")


def fine() -> Sequence[Finding]:
    return [FINE]


def impossible() -> Sequence[Finding]:
    raise SettingsError("It does not exist", "it was not created", "create it")


def findings(*checks: Check) -> dict[str, list[tuple[str, str]]]:
    return {r.check: [(f.level, f.what) for f in r.findings] for r in examine(checks)}


def test_independent_checks_run_concurrently() -> None:
    both = Barrier(2, timeout=30)

    def meet() -> Sequence[Finding]:
        both.wait()
        return [FINE]

    assert set(findings(Check("a", meet), Check("b", meet))) == {"a", "b"}


def test_a_report_is_yielded_when_its_check_is_complete() -> None:
    seen = Event()

    def wait() -> Sequence[Finding]:
        assert seen.wait(30)
        return [FINE]

    order = []
    for report in examine([Check("slow", wait), Check("quick", fine)]):
        order.append(report.check)
        seen.set()
    assert order == ["quick", "slow"]


def test_a_check_that_can_not_be_completed_is_one_finding_and_the_others_continue() -> None:
    assert findings(Check("a", impossible), Check("b", fine)) == {
        "a": [("error", "It does not exist")],
        "b": [("ok", "It is fine")],
    }


def test_each_check_has_its_own_severity_for_a_failure() -> None:
    assert findings(Check("a", impossible, severity="warning"))["a"] == [
        ("warning", "It does not exist")
    ]


def test_checks_that_depend_on_a_failed_one_are_skipped_with_the_reason() -> None:
    reports = examine([Check("a", impossible), Check("b", fine, ("a",)), Check("c", fine, ("b",))])
    why = {r.check: [(f.level, f.why) for f in r.findings] for r in reports}
    assert why["b"] == why["c"] == [("not checked", "a failed")]


def test_an_error_finding_does_not_skip_the_checks_that_depend_on_it() -> None:
    broken = Finding("broken", "error", "It is broken")
    reports = findings(Check("a", lambda: [broken]), Check("b", fine, ("a",)))
    assert reports["b"] == [("ok", "It is fine")]


def test_unknown_dependencies_are_ignored() -> None:
    assert findings(Check("b", fine, ("a",)))["b"] == [("ok", "It is fine")]


@pytest.mark.parametrize("run", [lambda: 1 / 0])
def test_a_bug_in_a_check_is_not_reported_as_a_finding(run: Callable[[], object]) -> None:
    with pytest.raises(ZeroDivisionError):
        findings(Check("a", run))  # type: ignore[arg-type]  # it never returns
