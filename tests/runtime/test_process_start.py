from __future__ import annotations

import sys
import time

import pytest

from flowyml_aws.runtime.process_start import age_s, process_started_at

STATISTICS = "7 (a) b) S 1 " + " ".join(["0"] * 17) + " 4200 99 0"


def test_the_age_is_the_time_since_the_start_in_ticks() -> None:
    assert age_s(STATISTICS, 50.0, 100) == 8


def test_an_age_is_never_negative() -> None:
    assert age_s(STATISTICS, 41.99, 100) == 0


def test_statistics_that_cannot_be_understood_have_no_age() -> None:
    assert age_s("", 50.0, 100) is None
    assert age_s(STATISTICS.replace("4200", "soon"), 50.0, 100) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_this_process_has_started() -> None:
    started_at = process_started_at()
    assert started_at is not None and started_at < time.time()
