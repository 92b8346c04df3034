"""Settings: where runs are stored and what jobs run in, from files and the environment.

Lowest first: the account's own (an SSM parameter), `[tool.flowyml-aws]` in pyproject.toml,
`flowyml-aws.toml` beside it, environment variables `FLOWYML_AWS_<NAME>` (lists separated by commas,
targets and tags as JSON).
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.target_settings import TargetSettings, read_targets

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Settings", "as_environment", "load_settings"]

PREFIX = "FLOWYML_AWS_"
_FILE = "flowyml-aws.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where runs are stored and what jobs run in.

    Attributes:
        store: `s3://bucket/prefix` for runs on AWS.
        account: Name of an account that infra/ has set up, or of an SSM parameter with settings,
            which all others override.
        queues: Batch queues that jobs may use; empty means every enabled one of the account.
        targets: Descriptions of queues, and of what else jobs can go to.
        image: URI of the container image; else the project's own in `repository`.
        repository: URI of the ECR repository that images are pushed to.
        base_image: Image with Python that the project's is built on; `gpu` for CUDA's runtime.
        image_requirements: What goes into the project's image, in pip's syntax; else what
            requirements.txt or pyproject.toml says.
        requirements: What jobs install when they start, as wheels; the image has nothing of it.
        job_role: ARN of the role that the job's code has.
        execution_role: ARN of the role that pulls the image.
        log_group: CloudWatch log group of the jobs on Batch.
        driver_queue: Batch queue of the small jobs that drive detached runs on SageMaker.
        driver_role: ARN of the role that these have.
        tags: Of the jobs, beside those that name the run.
        sagemaker_role: ARN of the role that training jobs have.
        sagemaker_image: URI of their image; else `image`.
        sagemaker_subnets, sagemaker_security_groups: Of a VPC; empty for none.
        sagemaker_volume_kms_key, sagemaker_output_kms_key: Ids or ARNs of KMS keys.
        sagemaker_volume_gib: Least size of a training job's volume.
        sagemaker_spot: Whether spot capacity is preferred.
        sagemaker_keep_alive_s: How long an instance waits for the next job of its type.
        sagemaker_max_runtime_s: Limit for a job whose steps have none.
        sagemaker_max_wait_s: Limit for a job on spot capacity, waiting included.
        region: AWS region; else what boto3 finds.
        include: Files and folders that travel with the code, though git ignores them.
        poll_s: Seconds between two looks at AWS.
        local_store: Folder of local runs, relative to the project.
        max_price_usd_hour: No job may use an instance type that costs more.
        max_cost_usd: No run may be expected to cost more.
        allow_pickle: Whether this machine may run code out of the store to read a value.
    """

    store: str | None = None
    account: str | None = None
    queues: tuple[str, ...] = ()
    targets: tuple[TargetSettings, ...] = ()
    image: str | None = None
    repository: str | None = None
    base_image: str | None = None
    image_requirements: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    job_role: str | None = None
    execution_role: str | None = None
    log_group: str = "/aws/batch/job"
    driver_queue: str | None = None
    driver_role: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    sagemaker_role: str | None = None
    sagemaker_image: str | None = None
    sagemaker_subnets: tuple[str, ...] = ()
    sagemaker_security_groups: tuple[str, ...] = ()
    sagemaker_volume_kms_key: str | None = None
    sagemaker_output_kms_key: str | None = None
    sagemaker_volume_gib: int | None = None
    sagemaker_spot: bool = False
    sagemaker_keep_alive_s: int | None = None
    sagemaker_max_runtime_s: int | None = None
    sagemaker_max_wait_s: int | None = None
    region: str | None = None
    include: tuple[str, ...] = ()
    poll_s: float = 3.0
    local_store: str = ".flowyml/aws"  # beside what FlowyML keeps in .flowyml
    max_price_usd_hour: float | None = None
    max_cost_usd: float | None = None
    allow_pickle: bool = True

    def __post_init__(self) -> None:
        if self.store is not None and not re.match("s3://[^/]", self.store):
            raise SettingsError(
                what=f"store={self.store!r} is no S3 location",
                why="runs on AWS need a bucket that the jobs and this machine can reach",
                fix="write s3://BUCKET/PREFIX",
            )


def as_environment(settings: Settings) -> dict[str, str]:
    """Variables that say the same to another process; what is as by default is left out.

    What only matters before a run begins (targets, limits, files that travel) is left out, too.
    """
    plain = Settings()
    told: dict[str, str] = {}
    for name in (f.name for f in fields(Settings) if f.name not in _BEFORE_A_RUN):
        value = getattr(settings, name)
        if value is None or value == getattr(plain, name):
            continue
        if isinstance(value, Mapping):
            value = json.dumps(dict(value))
        elif isinstance(value, tuple):
            value = ",".join(value)
        told[f"{PREFIX}{name.upper()}"] = str(value)
    return told


_BEFORE_A_RUN = {
    "account",
    "base_image",
    "driver_queue",
    "driver_role",
    "image_requirements",
    "include",
    "local_store",
    "max_cost_usd",
    "max_price_usd_hour",
    "queues",
    "repository",
    "requirements",
    "targets",
}


def load_settings(
    project: Path, environment: Mapping[str, str], account: str | None = None
) -> Settings:
    """The settings of a project.

    Args:
        project: Folder of pyproject.toml and flowyml-aws.toml.
        environment: Environment variables.
        account: What the parameter says that the setting `account` names.

    Raises:
        SettingsError: A name is unknown or a value is malformed; the error says where it stands.
    """
    values: dict[str, Any] = _read_account(account) if account is not None else {}
    for file, table in (
        (project / "pyproject.toml", ("tool", "flowyml-aws")),
        (project / _FILE, ()),
    ):
        values.update(_read(_table(file, table), str(file)))
    # Several settings also name variables of the SDK's own, so only our prefix counts.
    ours = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and value
    }
    values.update(_read(ours, f"the environment ({PREFIX}…)"))
    return Settings(**values)


def _read_account(text: str) -> dict[str, Any]:
    where = "the account's parameter"
    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(
            what=f"{where.capitalize()} can't be read",
            why=f"it is no JSON: {error}",
            fix="set the account up again with infra/",
        ) from error
    version = told.pop("version", None) if isinstance(told, dict) else None
    if version != 1:
        raise SettingsError(
            what=f"{where.capitalize()} has version {version!r}",
            why="this version of flowyml-aws reads version 1",
            fix="bring infra/ and this package to the same version",
        )
    return _read(told, where)


def _table(file: Path, path: tuple[str, ...]) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        table: Any = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            what=f"{file} can't be read", why=str(error), fix="correct its TOML"
        ) from error
    for name in path:
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise _malformed(table, f"{name} in {file}", "a table")
    return dict(table)


def _read(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {told.name: told for told in fields(Settings)}
    values = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        if key not in known:
            raise SettingsError(
                what=f"Unknown setting {name!r} in {where}",
                why=f"the settings are {', '.join(known)}",
                fix=did_you_mean(key, known, "remove it"),
            )
        parse: Callable[[Any, str], Any] = _PARSERS.get(key, _text)
        values[key] = parse(value, f"{name} in {where}")
    return values


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _malformed(value, where, "a text")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(text for part in value.split(",") if (text := part.strip()))
    if not isinstance(value, list):
        raise _malformed(value, where, "a list of texts")
    return tuple(_text(part, where) for part in value)


def _lines(value: Any, where: str) -> tuple[str, ...]:
    # A version's bounds have commas between them.
    if isinstance(value, str):
        value = value.splitlines()
    return tuple(text for part in _texts(value, where) if (text := part.strip()))


def _above_zero(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise _malformed(value, where, "a number") from error
    if not 0 < number < math.inf:
        raise _malformed(value, where, "a number above 0")
    return number


def _whole(value: Any, where: str) -> int:
    number = _above_zero(value, where)
    if number != int(number):
        raise _malformed(value, where, "a whole number above 0")
    return int(number)


def _switch(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    told = {"true": True, "false": False}.get(value.lower() if isinstance(value, str) else "")
    if told is None:
        raise _malformed(value, where, "true or false")
    return told


def _malformed(value: Any, where: str, expected: str) -> SettingsError:
    return SettingsError(
        what=f"Setting {where} is {value!r}", why=f"it must be {expected}", fix="correct it"
    )


def _target_list(value: Any, where: str) -> tuple[TargetSettings, ...]:
    return read_targets(_from_json(value, where, "a list of tables as JSON"), where)


def _text_table(value: Any, where: str) -> dict[str, str]:
    table = _from_json(value, where, "a table of texts as JSON")
    if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
        raise _malformed(value, where, "a table of texts")
    return table


def _from_json(value: Any, where: str, expected: str) -> Any:
    """What a setting says that an environment variable can only hold as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise _malformed(value, where, expected) from error


_PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "queues": _texts,
    "targets": _target_list,
    "include": _texts,
    "image_requirements": _lines,
    "requirements": _lines,
    "poll_s": _above_zero,
    "max_price_usd_hour": _above_zero,
    "max_cost_usd": _above_zero,
    "allow_pickle": _switch,
    "tags": _text_table,
    "sagemaker_subnets": _texts,
    "sagemaker_security_groups": _texts,
    "sagemaker_volume_gib": _whole,
    "sagemaker_spot": _switch,
    "sagemaker_keep_alive_s": _whole,
    "sagemaker_max_runtime_s": _whole,
    "sagemaker_max_wait_s": _whole,
}
