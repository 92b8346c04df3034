"""Live progress of a run in the cell of a notebook."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from flowyml_aws.core.sheets import Sheet, to_html, to_markdown
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.submission.status_sheets import status_sheets

__all__ = ["ignore_progress", "live_cell"]

_INTERVAL_S = 0.5


def ignore_progress(_: RunStatus) -> None:
    """Show nothing."""


def live_cell(notes: Sequence[str] = ()) -> Callable[[RunStatus], None] | None:
    """Return a callback for `Run.wait` that updates an output of the current cell.

    Return None if this process is not the kernel of a notebook.

    Args:
        notes: Notes of the plan.
    """
    if not _is_kernel():
        return None
    ipython: Any = importlib.import_module("IPython.display")
    handle: Any = None
    shown_at = 0.0

    def show(status: RunStatus) -> None:
        nonlocal handle, shown_at
        now = time.time()
        has_ended = status.state is not RunState.RUNNING
        if handle is not None and not has_ended and now - shown_at < _INTERVAL_S:
            return
        shown_at = now
        sheets = [*status_sheets(status, now), Sheet("", lines=tuple(notes))]
        content = {
            "text/html": to_html(sheets),
            "text/markdown": to_markdown(sheets),
            "text/plain": f"{status.run_id}: {status.state_text}",
        }
        if handle is None:
            handle = ipython.display(content, raw=True, display_id=True)
        else:
            handle.update(content, raw=True)

    return show


def _is_kernel() -> bool:
    ipython = sys.modules.get("IPython")  # imported, if this is a kernel
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
