"""Signals that jobs inherit, by the masks in /proc."""

from __future__ import annotations

import signal

from flowyml_aws.packaging.warm_jobs import signals_in


def test_a_mask_contains_its_signals() -> None:
    assert signals_in("0000000000001002") == {signal.SIGINT, signal.SIGPIPE}


def test_signals_of_the_c_library_are_left_out() -> None:
    # 33 is ignored in programs that `make` has started, until they start a thread.
    assert signals_in("0000000181001000") == signals_in("0000000001001000")
