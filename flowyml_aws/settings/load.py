"""Reading of settings from files and the environment.

Sources, lowest precedence first: the account (an SSM parameter), `[tool.flowyml-aws]` in
pyproject.toml, `flowyml-aws.toml` in the same folder, and environment variables
`FLOWYML_AWS_<NAME>` (lists separated by commas; targets, tags, env and the backends of groups as
JSON).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flowyml_aws.core.distributions import CACHE_VERSIONS, VersionRule
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.loading import LOADING_VARIABLE
from flowyml_aws.core.recipients import recipient_problems
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.time_spans import seconds_of
from flowyml_aws.core.written import parse_json, parse_toml, shortened
from flowyml_aws.settings.model import PREFIX, Settings
from flowyml_aws.settings.targets import TargetSettings, read_targets

__all__ = ["load_settings"]

_FILE = "flowyml-aws.toml"
_MAX_NAME = 100


def load_settings(
    project: Path, environment: Mapping[str, str], account: str | None = None
) -> Settings:
    """Return the settings of a project.

    Args:
        project: Folder of pyproject.toml and flowyml-aws.toml.
        environment: Environment variables.
        account: Value of the SSM parameter that the setting `account` names.

    Raises:
        SettingsError: A name is unknown or a value is malformed. The error names the source.
    """
    values: dict[str, Any] = _read_account(account) if account is not None else {}
    for file, table in (
        (project / "pyproject.toml", ("tool", "flowyml-aws")),
        (project / _FILE, ()),
    ):
        values.update(_read(_table(file, table), str(file)))
    # Some settings share their names with variables of the SDK: only those with our prefix count.
    variables = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and value and name != LOADING_VARIABLE
    }
    values.update(_read(variables, f"the environment ({PREFIX}…)"))
    return Settings(**values)


def _read_account(text: str) -> dict[str, Any]:
    where = "the account's parameter"
    try:
        document = parse_json(text)
    except ValueError as error:
        raise SettingsError(
            what=f"{where.capitalize()} can't be read",
            why=f"it is not valid JSON: {error}",
            fix="set the account up again with infra/",
        ) from error
    version = document.pop("version", None) if isinstance(document, dict) else None
    if version != 1:
        raise SettingsError(
            what=f"{where.capitalize()} has version {version!r}",
            why="this version of flowyml-aws reads version 1",
            fix="use the same version of infra/ and this package",
        )
    return _read(document, where)


def _table(file: Path, path: tuple[str, ...]) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        table: Any = parse_toml(file.read_text("utf-8"))
    except (OSError, ValueError) as error:  # the latter also if it is not UTF-8
        raise SettingsError(
            what=f"{file} can't be read", why=str(error), fix="correct its TOML"
        ) from error
    for name in path:
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise _malformed(table, f"{name} in {file}", "a TOML table")
    return dict(table)


def _read(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = [setting.name for setting in fields(Settings)]
    values = {}
    for name, value in raw.items():
        key = name.replace("-", "_")
        if key not in known:
            raise SettingsError(
                what=f"Unknown setting {shortened(name)} in {where}",
                why=f"the settings are {', '.join(known)}",
                fix=did_you_mean(key[:_MAX_NAME], known, "remove it"),
            )
        parse: Callable[[Any, str], Any] = _PARSERS.get(key, _string)
        values[key] = parse(value, f"{name} in {where}")
    return values


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _malformed(value, where, "a string")
    return value


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(text for part in value.split(",") if (text := part.strip()))
    if not isinstance(value, list):
        raise _malformed(value, where, "a list of strings")
    return tuple(_string(part, where) for part in value)


def _lines(value: Any, where: str) -> tuple[str, ...]:
    # Version bounds are separated by commas.
    if isinstance(value, str):
        value = value.splitlines()
    return tuple(text for part in _strings(value, where) if (text := part.strip()))


def _above_zero(value: Any, where: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError  # which float() takes as 1 or 0
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _malformed(value, where, "a number") from error
    if not 0 < number < math.inf:
        raise _malformed(value, where, "a number above 0")
    return number


def _integer(value: Any, where: str) -> int:
    number = _above_zero(value, where)
    if number != int(number):
        raise _malformed(value, where, "an integer above 0")
    return int(number)


def _switch(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    switch = {"true": True, "false": False}.get(value.lower() if isinstance(value, str) else "")
    if switch is None:
        raise _malformed(value, where, "true or false")
    return switch


def _malformed(value: Any, where: str, expected: str) -> SettingsError:
    return SettingsError(
        what=f"Invalid setting {where}: {shortened(value)}",
        why=f"it must be {expected}",
        fix="correct it",
    )


def _target_list(value: Any, where: str) -> tuple[TargetSettings, ...]:
    return read_targets(_from_json(value, where, "a list of mappings as JSON"), where)


def _string_mapping(value: Any, where: str) -> dict[str, str]:
    mapping = _from_json(value, where, "a mapping of strings as JSON")
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise _malformed(value, where, "a mapping of strings")
    return mapping


def _environment(value: Any, where: str) -> dict[str, str]:
    """Parse environment variables. Errors do not contain values: they may be secrets."""
    try:
        variables = _from_json(value, where, "")
    except SettingsError:
        variables = None
    if not isinstance(variables, dict):
        raise SettingsError(
            what=f"Invalid setting {where}",
            why="it must be a mapping of strings, in an environment variable as JSON",
            fix='write for example env = { LEVEL = "9" }',
        )
    for name, text in variables.items():
        if not isinstance(text, str):
            raise SettingsError(
                what=f"Invalid setting {where}: {name} must be a string, got {type(text).__name__}",
                why="the values of environment variables are strings",
                fix=f'write a string, such as {name} = "9"',
            )
    return variables


def _backend(value: Any, where: str) -> str | dict[str, str]:
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return value
    try:
        return _string_mapping(value, where)
    except SettingsError:
        raise _malformed(value, where, "a string, or a mapping of groups to strings") from None


def _recipients(value: Any, where: str) -> tuple[str, ...]:
    recipients = _strings(value, where)
    for problem in recipient_problems(recipients, f"the setting {where}"):
        raise problem
    return recipients


def _version_rule(value: Any, where: str) -> VersionRule:
    for rule in CACHE_VERSIONS:
        if value == rule:
            return rule
    raise _malformed(value, where, f"one of {', '.join(CACHE_VERSIONS)}")


def _time_span(value: Any, where: str) -> float:
    seconds = seconds_of(value)
    if seconds is None:
        raise _malformed(value, where, "a number with a unit, such as 30m")
    return seconds


def _from_json(value: Any, where: str, expected: str) -> Any:
    """Parse a structured setting, which environment variables hold as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise _malformed(value, where, expected) from error


_PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "backend": _backend,
    "cache_versions": _version_rule,
    "queues": _strings,
    "targets": _target_list,
    "include": _strings,
    "load_timeout_s": _above_zero,
    "store_wait_s": _above_zero,
    "max_bundle_mib": _integer,
    "image_requirements": _lines,
    "requirements": _lines,
    "capacity_wait_s": _above_zero,
    "poll_s": _above_zero,
    "max_price_usd_hour": _above_zero,
    "max_cost_usd": _above_zero,
    "notify": _recipients,
    "stop_idle_gpu": _time_span,
    "allow_pickle": _switch,
    "debug_shell": _switch,
    "warm_starts": _switch,
    "tags": _string_mapping,
    "env": _environment,
    "sagemaker_subnets": _strings,
    "sagemaker_security_groups": _strings,
    "sagemaker_volume_gib": _integer,
    "sagemaker_spot": _switch,
    "sagemaker_keep_alive_s": _integer,
    "sagemaker_max_runtime_s": _integer,
    "sagemaker_max_wait_s": _integer,
}
