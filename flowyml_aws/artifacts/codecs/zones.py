"""Time zones by name."""

from __future__ import annotations

import datetime
from typing import Any

__all__ = ["zone_in_arrow", "zone_name", "zone_named"]


def zone_name(zone: Any) -> list[Any] | None:
    """A zone as JSON; None for kinds of zones that a name does not bring back."""
    package = type(zone).__module__.partition(".")[0]
    if package == "zoneinfo" and zone.key:
        return ["zoneinfo", zone.key]
    if package == "pytz" and getattr(zone, "zone", None):
        return ["pytz", zone.zone]
    if type(zone) is datetime.timezone:
        offset = zone.utcoffset(None)
        if str(zone) == str(datetime.timezone(offset)):
            return ["offset", offset.total_seconds()]
    return None


def zone_in_arrow(zone: list[Any]) -> str:
    """What Arrow calls it."""
    if zone[0] != "offset":
        return str(zone[1])
    minutes = int(zone[1] // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def zone_named(zone: list[Any]) -> datetime.tzinfo:
    """The zone that `zone_name` has written."""
    kind, name = zone
    if kind == "offset":
        return datetime.timezone(datetime.timedelta(seconds=name))
    if kind == "pytz":
        import pytz

        found: datetime.tzinfo = pytz.timezone(name)
        return found
    import zoneinfo

    return zoneinfo.ZoneInfo(name)
