"""Numbers and names as text for readers of a report."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from rich.filesize import decimal

from flowyml_aws.core.amounts import usd
from flowyml_aws.core.visible import visible

__all__ = ["bytes_text", "duration_text", "figure_text", "readable", "time_text", "usd_text"]

# Characters that change the direction of the text after them, or are invisible.
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def readable(text: str) -> str:
    r"""Return a string that looks like what it is: hidden characters are shown as `\u202e`."""
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", visible(text))


def duration_text(seconds: float | None) -> str:
    """Return a duration, such as `820 ms`, `12.3 s`, `4 min 5 s` or `2 h 3 min`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def bytes_text(size: int | None) -> str:
    """Return a size, such as `80 bytes` or `47.7 kB`."""
    return "" if size is None else decimal(size)


def figure_text(number: float) -> str:
    """Return the value of a metric with six digits, such as `0.973251`."""
    return f"{number:.6g}"


def usd_text(amount: float | None) -> str:
    """Return an amount of money, such as `$0.526`."""
    return "unknown" if amount is None else usd(amount)


def time_text(seconds: float | None) -> str:
    """Return a time in UTC; empty if it is unknown."""
    if seconds is None:
        return ""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
