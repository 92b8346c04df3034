"""The least policy: the permissions that were used, and no others."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from flowyml_aws.artifacts.layout import CACHE, CONTENTS, HISTORY, LAYERS, RUNS
from flowyml_aws.testing.iam.permissions import Need

__all__ = ["least_policy"]

_FOLDERS = "|".join(prefix.rstrip("/") for prefix in (RUNS, CACHE, HISTORY, LAYERS, *CONTENTS))
_IN_STORE = re.compile(rf"(arn:[\w-]+:s3:::[^/]+/(?:.+/)?(?:{_FOLDERS}))/(.+)")
_RUN_JOBS = re.compile(r"[^/]+/jobs/.+")
# Resources that each run names differently.
_BY_RUN = re.compile(
    r"(arn:[^:]+:(?:batch|sagemaker|ecs):[^:]*:[^:]*:(?:job|training-job|task))/.+"
)
_LOG_STREAM = re.compile(r"(arn:[^:]+:logs:[^:]*:[^:]*:log-group:[^:]+:log-stream):.+")
_REVISION = re.compile(r"(arn:[^:]+:batch:[^:]*:[^:]*:job-definition/[^:]+):.+")
# Condition keys without which a permission would be too broad.
_KEPT = ("iam:PassedToService",)


def least_policy(needs: Iterable[Need]) -> dict[str, Any]:
    """Return the least policy that allows all needs.

    Names that differ from run to run are generalized: objects in a store to the folders of its
    layout, jobs and log streams to all of their kind.
    """
    by_action: dict[tuple[str, tuple[tuple[str, str], ...]], set[str]] = defaultdict(set)
    for need in needs:
        by_action[need.action, _condition(need.context)].add(_generalized(need.resource))
    actions: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], set[str]] = defaultdict(set)
    for (action, condition), resources in by_action.items():
        actions[tuple(sorted(_broadest(resources))), condition].add(action)
    groups = sorted(
        (sorted(names), resources, condition) for (resources, condition), names in actions.items()
    )
    return {"Version": "2012-10-17", "Statement": _named([_statement(*group) for group in groups])}


def _condition(context: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(context[key])) for key in _KEPT if key in context)


def _generalized(resource: str) -> str:
    if in_store := _IN_STORE.fullmatch(resource):
        folder, rest = in_store.groups()
        is_job = folder.endswith("/runs") and _RUN_JOBS.fullmatch(rest)
        return f"{folder}/*/jobs/*" if is_job else f"{folder}/*"
    if by_run := _BY_RUN.fullmatch(resource):
        return f"{by_run[1]}/*"
    if stream := _LOG_STREAM.fullmatch(resource):
        return f"{stream[1]}:*"
    if revision := _REVISION.fullmatch(resource):
        return f"{revision[1]}:*"
    return resource


def _broadest(resources: set[str]) -> set[str]:
    """Return the resources without those that another one with `*` at its end includes."""
    prefixes = [resource[:-1] for resource in resources if resource.endswith("*")]
    return {
        resource
        for resource in resources
        if not any(resource.startswith(p) and resource != f"{p}*" for p in prefixes)
    }


def _statement(
    actions: list[str], resources: tuple[str, ...], condition: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": "",
        "Effect": "Allow",
        "Action": actions if len(actions) > 1 else actions[0],
        "Resource": list(resources) if len(resources) > 1 else resources[0],
    }
    if condition:
        statement["Condition"] = {"StringEquals": dict(condition)}
    return statement


def _named(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counts: dict[str, int] = defaultdict(int)
    for statement in statements:
        actions = statement["Action"]
        first = actions if isinstance(actions, str) else actions[0]
        service, _, operation = first.partition(":")
        sid = f"{service.capitalize()}{operation}"
        counts[sid] += 1
        statement["Sid"] = sid if counts[sid] == 1 else f"{sid}{counts[sid]}"
    return statements
