"""The least policy: the permissions that were used, and no others."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from flowyml_aws.artifacts.layout import CACHE, CONTENTS, HISTORY, LAYERS, RUNS
from flowyml_aws.testing.iam.permissions import Need

__all__ = ["generalized", "least_policy"]

_FOLDERS = "|".join(prefix.rstrip("/") for prefix in (RUNS, CACHE, HISTORY, LAYERS, *CONTENTS))
_IN_STORE = re.compile(rf"(arn:[\w-]+:s3:::[^/]+/(?:.+/)?(?:{_FOLDERS}))/(.+)")
_RUN_JOBS = re.compile(r"[^/]+/jobs/.+")
# Resources that each run names differently.
_BY_RUN = re.compile(
    r"(arn:[^:]+:(?:batch|sagemaker|ecs):[^:]*:[^:]*:(?:job|training-job|task))/.+"
)
_OBJECT = re.compile(r"(arn:[\w-]+:s3:::.+/)[^/*]+")
_LOG_STREAM = re.compile(r"(arn:[^:]+:logs:[^:]*:[^:]*:log-group:[^:]*):log-stream:(.*)")
_DEFINITION = re.compile(
    r"(arn:[^:]+:batch:[^:]*:[^:]*:job-definition/)(flowyml-aws-)?([^:]+)(:.+)?"
)
_RUN_TAG = "aws:ResourceTag/flowyml-aws:run"

_Terms = tuple[tuple[str, str, str], ...]
"""Conditions of a statement: operator, condition key and value."""


def least_policy(needs: Iterable[Need]) -> dict[str, Any]:
    """Return the least policy that allows all needs.

    The needs are generalized, as those of every run differ.
    """
    by_action: dict[tuple[str, _Terms], set[str]] = defaultdict(set)
    for need in map(generalized, needs):
        by_action[need.action, tuple(_terms(need))].add(need.resource)
    actions: dict[tuple[tuple[str, ...], _Terms], set[str]] = defaultdict(set)
    for (action, condition), resources in by_action.items():
        actions[tuple(sorted(_broadest(resources))), condition].add(action)
    groups = sorted(
        (sorted(names), resources, condition) for (resources, condition), names in actions.items()
    )
    return {"Version": "2012-10-17", "Statement": _named([_statement(*group) for group in groups])}


def generalized(need: Need) -> Need:
    """Return a need without what differs from run to run.

    Objects in a store are generalized to the folders of its layout, jobs and log streams to all of
    their kind. Only the conditions of least policies are kept.
    """
    context = {key: value for _, key, value in _terms(need)}
    return Need(need.action, _generalized(need.resource), context)


def _terms(need: Need) -> Iterator[tuple[str, str, str]]:
    """Yield the conditions without which a permission would be too broad."""
    if service := need.context.get("iam:PassedToService"):
        yield "StringEquals", "iam:PassedToService", str(service)
    if namespace := need.context.get("cloudwatch:namespace"):
        yield "StringEquals", "cloudwatch:namespace", str(namespace)
    if need.action in ("batch:CancelJob", "batch:TerminateJob") and _RUN_TAG in need.context:
        yield "StringLike", _RUN_TAG, "*"


def _generalized(resource: str) -> str:
    if in_store := _IN_STORE.fullmatch(resource):
        folder, rest = in_store.groups()
        is_job = folder.endswith("/runs") and _RUN_JOBS.fullmatch(rest)
        return f"{folder}/*/jobs/*" if is_job else f"{folder}/*"
    if by_run := _BY_RUN.fullmatch(resource):
        return f"{by_run[1]}/*"
    if stream := _LOG_STREAM.fullmatch(resource):
        return f"{stream[1]}:log-stream:*" if stream[2] else f"{stream[1]}:*"
    if definition := _DEFINITION.fullmatch(resource):
        head, hashed, name, revision = definition.groups()
        return f"{head}{hashed}*" if hashed else f"{head}{name}:*" if revision else resource
    return resource


def _broadest(resources: set[str]) -> set[str]:
    """Return the resources without those that another one with `*` at its end includes.

    Several objects of one folder are generalized to the folder.
    """
    objects = filter(None, map(_OBJECT.fullmatch, resources))
    folders = Counter(f"{match[1]}*" for match in objects)
    resources = resources | {folder for folder, number in folders.items() if number > 1}
    prefixes = [resource[:-1] for resource in resources if resource.endswith("*")]
    return {
        resource
        for resource in resources
        if not any(resource.startswith(p) and resource != f"{p}*" for p in prefixes)
    }


def _statement(actions: list[str], resources: tuple[str, ...], terms: _Terms) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": "",
        "Effect": "Allow",
        "Action": actions if len(actions) > 1 else actions[0],
        "Resource": list(resources) if len(resources) > 1 else resources[0],
    }
    if terms:
        statement["Condition"] = {operator: {key: value} for operator, key, value in terms}
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
