from __future__ import annotations

from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.examination import Report
from flowyml_aws.view.findings import report_text, verdict

FINE = Report("queues", (Finding("queue", "ok", "Queue 'cpu' takes jobs"),), True)
BAD = Report("queues", (Finding("queue-disabled", "error", "it is off", "so", "do"),), True)
DOUBTFUL = Report("clock", (Finding("clock-skew", "warning", "it is late", "so", "do"),), True)
UNCHECKED = Report("image", (Finding("not-checked", "not checked", "w", "queues failed"),), False)


def test_a_finding_is_a_line_with_reason_and_fix_below_it() -> None:
    assert report_text(FINE).plain == "✓ queues: Queue 'cpu' takes jobs"
    assert report_text(BAD).plain == "✗ queues: error: it is off\n    why: so\n    fix: do"
    assert report_text(DOUBTFUL).plain.startswith("! clock: warning: it is late\n")
    assert report_text(UNCHECKED).plain == "? image: not checked, because queues failed"


def test_the_verdict_counts_errors_and_warnings() -> None:
    assert verdict([FINE, UNCHECKED]).plain == "No problems found."
    assert verdict([BAD, BAD, DOUBTFUL]).plain == "2 errors and 1 warning."
    assert verdict([DOUBTFUL]).plain == "1 warning."
