"""Times of a schedule: the expressions of EventBridge Scheduler, and the times that they name.

Source: "Schedule types in EventBridge Scheduler" of its user guide. A time that daylight saving
skips is left out, and one that it repeats counts once. Not supported: `W` in an expression.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flowyml_aws.core.errors import SettingsError

__all__ = ["ScheduleTimes", "cron_times", "rate_times", "read_times", "schedule_times"]

_UNITS_S = {"minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"(\d{1,6}) (minute|hour|day)s?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = ("minutes", "hours", "day of the month", "month", "day of the week", "year")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
_MAX_DAYS = 366 * 8  # without a time: 29 February is at most 8 years away


@dataclass(frozen=True, slots=True)
class _Days:
    """The days that match two fields, of which one is `?`.

    Attributes:
        of_month: Days of the month.
        is_last: Whether the last day of the month matches.
        of_week: Days of the week, from 1 for Sunday.
        nth: Days of the week with their number in the month: `FRI#2`.
        last: Days of the week that match in the last week of the month: `6L`.
    """

    of_month: frozenset[int] = frozenset()
    is_last: bool = False
    of_week: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()
    last: frozenset[int] = frozenset()

    def match(self, day: date) -> bool:
        week_day = day.isoweekday() % 7 + 1
        length = monthrange(day.year, day.month)[1]
        return (
            day.day in self.of_month
            or (self.is_last and day.day == length)
            or week_day in self.of_week
            or (week_day, (day.day - 1) // 7 + 1) in self.nth
            or (week_day in self.last and day.day > length - 7)
        )


@dataclass(frozen=True, slots=True)
class ScheduleTimes:
    """The times of a schedule.

    Attributes:
        expression: Expression of EventBridge Scheduler: `cron(…)` or `rate(…)`.
        zone: Time zone, by its name in the IANA database.
    """

    expression: str
    zone: str = "UTC"

    @property
    def interval_s(self) -> int | None:
        """Seconds between two times of a rate; None for other expressions."""
        match = _RATE.fullmatch(self.expression.removeprefix("rate(").removesuffix(")"))
        return None if match is None else int(match[1]) * _UNITS_S[match[2]]

    def after(self, moment: float, start: float | None = None) -> Iterator[float]:
        """Yield the times after a moment, in seconds since the epoch.

        Args:
            moment: Seconds since the epoch.
            start: First time of a rate; the moment plus the interval by default.
        """
        if (interval_s := self.interval_s) is not None:
            start = moment + interval_s if start is None else start
            passed = max(0, int((moment - start) // interval_s) + 1)
            while True:
                yield start + passed * interval_s
                passed += 1
        yield from self._cron_after(moment)

    def count(self, moment: float, days: int) -> int:
        """Return the number of times in the days after a moment."""
        end = moment + days * 86400
        if (interval_s := self.interval_s) is not None:
            return days * 86400 // interval_s
        times = self._cron_after(moment, end)
        return sum(1 for _ in islice(times, days * 1440))

    def _cron_after(self, moment: float, end: float | None = None) -> Iterator[float]:
        zone = ZoneInfo(self.zone)
        fields = self.expression.removeprefix("cron(").removesuffix(")").split()
        minutes, hours, months, years = (
            _numbers(fields[position], position) for position in (0, 1, 3, 5)
        )
        days = _days(fields)
        day = datetime.fromtimestamp(moment, zone).date()
        last = day
        while (day - last).days < _MAX_DAYS and day.year <= max(years):
            if day.year in years and day.month in months and days.match(day):
                for found in _times_of(day, hours, minutes, zone):
                    if found > moment and (end is None or found <= end):
                        yield found
                        last = day
            if end is not None and _start_of(day, zone) > end:
                return
            day += timedelta(days=1)


def _start_of(day: date, zone: ZoneInfo) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def _times_of(
    day: date, hours: frozenset[int], minutes: frozenset[int], zone: ZoneInfo
) -> Iterator[float]:
    for hour in sorted(hours):
        for minute in sorted(minutes):
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            back = local.astimezone(timezone.utc).astimezone(zone)
            if (back.hour, back.minute) == (hour, minute):  # it exists on this day
                yield local.timestamp()


def schedule_times(cron: str | None, rate: str | None, zone: str = "UTC") -> ScheduleTimes:
    """Return the times of a cron expression or of a rate.

    Raises:
        SettingsError: Not exactly one of them is given, or it is invalid.
    """
    if cron is not None and rate is None:
        return cron_times(cron, zone)
    if rate is not None and cron is None:
        return rate_times(rate, zone)
    raise SettingsError(
        what="No times of the schedule" if cron is None else "Both a cron expression and a rate",
        why="a schedule has either a cron expression or a rate",
        fix="write for example --cron '0 6 * * ? *' or --rate '1 day'",
    )


def cron_times(expression: str, zone: str = "UTC") -> ScheduleTimes:
    """Return the times of a cron expression with six fields: `0 6 * * ? *`.

    Raises:
        SettingsError: The expression or the time zone is invalid.
    """
    fields = expression.upper().split()
    if len(fields) != len(_FIELDS):
        raise _invalid(
            expression,
            f"it must have six fields ({', '.join(_FIELDS)}), got {len(fields)}: EventBridge has a "
            "field for years, and a `?` for one of the days",
        )
    if (fields[2] == "?") == (fields[4] == "?"):
        raise _invalid(
            expression, "exactly one of the day of the month and the day of the week must be `?`"
        )
    try:
        for position in (0, 1, 3, 5):
            _numbers(fields[position], position)
        _days(fields)
    except ValueError as error:
        raise _invalid(expression, str(error)) from None
    return ScheduleTimes(f"cron({' '.join(fields)})", _checked_zone(zone))


def rate_times(rate: str, zone: str = "UTC") -> ScheduleTimes:
    """Return the times of a rate: `1 day`, `12 hours`, `30 minutes`.

    Raises:
        SettingsError: The rate or the time zone is invalid.
    """
    match = _RATE.fullmatch(rate.strip())
    if match is None or int(match[1]) == 0:
        raise SettingsError(
            what=f"Invalid rate {rate!r}",
            why="it must be a number of minutes, hours or days",
            fix="write for example --rate '1 day'",
        )
    return ScheduleTimes(f"rate({int(match[1])} {match[2]}s)", _checked_zone(zone))


def read_times(expression: str, zone: str) -> ScheduleTimes:
    """Return the times of an expression of EventBridge Scheduler.

    Raises:
        SettingsError: It is neither a rate nor a supported cron expression.
    """
    kind, _, rest = expression.partition("(")
    text = rest.removesuffix(")")
    return rate_times(text, zone) if kind == "rate" else cron_times(text, zone)


def _checked_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            what=f"Unknown time zone {zone!r}",
            why="a time zone is a name of the IANA database that this machine has",
            fix="write for example --timezone Europe/Berlin",
        ) from None
    return zone


def _days(fields: list[str]) -> _Days:
    of_month, of_week = fields[2], fields[4]
    if of_week == "?":
        parts = of_month.split(",")
        numbers = ",".join(part for part in parts if part != "L")
        return _Days(_numbers(numbers, 2) if numbers else frozenset(), is_last="L" in parts)
    nth: set[tuple[int, int]] = set()
    last: set[int] = set()
    rest = []
    for part in of_week.split(","):
        if match := re.fullmatch(r"(\w+)#([1-5])", part):
            nth.add((_number(match[1], 4), int(match[2])))
        elif part == "L":
            rest.append("7")
        elif part.endswith("L"):
            last.add(_number(part[:-1], 4))
        else:
            rest.append(part)
    of_each_week = _numbers(",".join(rest), 4) if rest else frozenset()
    return _Days(of_week=of_each_week, nth=frozenset(nth), last=frozenset(last))


def _numbers(field: str, position: int) -> frozenset[int]:
    """Return the numbers of a field.

    Raises:
        ValueError: The field is invalid, with the reason.
    """
    low, high = _RANGES[position]
    found: set[int] = set()
    for part in field.split(","):
        base, slash, step = part.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"invalid step {part!r} in the field for {_FIELDS[position]}")
        if base == "*":
            first, final = low, high
        else:
            start, dash, end = base.partition("-")
            first = _number(start, position)
            final = _number(end, position) if dash else (high if slash else first)
        if first > final:
            raise ValueError(f"invalid range {part!r} in the field for {_FIELDS[position]}")
        found.update(range(first, final + 1, int(step) if slash else 1))
    return frozenset(found)


def _number(text: str, position: int) -> int:
    names = {3: _MONTHS, 4: _DAYS}.get(position, ())
    low, high = _RANGES[position]
    number = names.index(text) + 1 if text in names else int(text) if text.isdecimal() else -1
    if not low <= number <= high:
        raise ValueError(
            f"invalid value {text!r} in the field for {_FIELDS[position]}: expected {low} to {high}"
        )
    return number


def _invalid(expression: str, why: str) -> SettingsError:
    return SettingsError(
        what=f"Invalid cron expression {expression!r}",
        why=why,
        fix="write for example --cron '0 6 * * ? *' for every day at 06:00",
    )
