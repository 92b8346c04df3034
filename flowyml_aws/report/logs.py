"""The start and the end of logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flowyml_aws.report.data import LogEnds

__all__ = ["END_BYTES", "log_ends", "shorter_log"]

END_BYTES = 16 * 1024
"""Bytes of the start and of the end of a log in a report."""
# ECMA-48, section 5.4: control sequences, such as those for colours.
_CONTROL_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def log_ends(lines: Iterable[str], end_bytes: int = END_BYTES) -> LogEnds:
    """Return the start and the end of a log.

    Args:
        lines: Lines of the log.
        end_bytes: Bytes of each end.
    """
    # A progress bar overwrites its line: only its last state is of interest.
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    text = _CONTROL_SEQUENCES.sub("", text)
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= 2 * end_bytes:
        return LogEnds(head=data.decode())
    head, tail = _whole_lines(data[:end_bytes], data[-end_bytes:])
    return LogEnds(
        head=head.decode(errors="ignore"),
        tail=tail.decode(errors="ignore"),
        omitted_bytes=len(data) - len(head) - len(tail),
    )


def shorter_log(log: LogEnds, end_bytes: int) -> LogEnds:
    """Return a log with shorter ends."""
    head, tail = log.head.encode(), log.tail.encode()
    size = len(head) + len(tail)
    if size <= 2 * end_bytes:
        return log
    start, end = _whole_lines(head[:end_bytes], (tail or head)[-end_bytes:])
    return log.model_copy(
        update={
            "head": start.decode(errors="ignore"),
            "tail": end.decode(errors="ignore"),
            "omitted_bytes": log.omitted_bytes + size - len(start) - len(end),
        }
    )


def _whole_lines(head: bytes, tail: bytes) -> tuple[bytes, bytes]:
    """Return both ends without the parts of lines at the cuts, unless a line fills an end."""
    if (cut := head.rfind(b"\n")) > 0:
        head = head[:cut]
    if 0 <= (cut := tail.find(b"\n")) < len(tail) - 1:
        tail = tail[cut + 1 :]
    return head, tail
