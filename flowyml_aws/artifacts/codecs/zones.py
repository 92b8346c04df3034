"""Conversion of time zones to and from names."""

from __future__ import annotations

import datetime
from typing import Any

__all__ = ["zone_in_arrow", "zone_name", "zone_named"]


def zone_name(zone: Any) -> list[Any] | None:
    """Return a zone as JSON, or None if it can't be restored from a name."""
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
    """Return Arrow's name of a zone."""
    if zone[0] != "offset":
        return str(zone[1])
    minutes = int(zone[1] // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def zone_named(zone: list[Any]) -> datetime.tzinfo:
    """Return the zone of a value from `zone_name`."""
    kind, name = zone
    if kind == "offset":
        return datetime.timezone(datetime.timedelta(seconds=name))
    if kind == "pytz":
        import pytz

        result: datetime.tzinfo = pytz.timezone(name)
        return result
    import zoneinfo

    return zoneinfo.ZoneInfo(name)
