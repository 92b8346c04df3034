"""The permissions that a request needs.

Source: the Service Authorization Reference. `resources` has the mappings of operations to
resources, `objects` the rules of S3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Protocol
from urllib.parse import parse_qsl

from flowyml_aws.testing.calls import ApiCall
from flowyml_aws.testing.iam.conditions import Values
from flowyml_aws.testing.iam.objects import list_need, s3_needs
from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.resources import (
    CONDITION_KEYS,
    MULTIVALUED,
    PASSED_ROLES,
    RESOURCES,
    TAGGED,
)

__all__ = ["Need", "Request", "list_need", "needs_of"]

# Prefixes of actions that differ from the name that signs the request.
_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag", "email": "ses"}
# Operations that need no permission, or whose callers have no credentials.
_FREE = {
    *("sts:GetCallerIdentity", "sts:GetSessionToken"),
    *("sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"),
}
_MEMBER = re.compile(r"\{([\w.]+)\}")
_ITEM = re.compile(r"(?P<list>\w+)\.(member|entry)\.(?P<number>\d+)(\.(?P<member>\w+))?")
_WITH_TAG_KEY = ("ecr", "ecs", "iam", "sagemaker", "ssm")  # have a condition key for tags, too
_WITHOUT_REGION = ("iam", "sts")
_DEFAULTS = {"EventBusName": "default", "Entries.EventBusName": "default", "cluster": "default"}


class Request(Protocol):
    """A request to a service.

    Attributes:
        call: API call. For S3, its resource is the bucket and the key.
        body: Body of the request.
        query: Parameters of the URL.
        headers: Headers with names in lower case.
    """

    @property
    def call(self) -> ApiCall: ...

    @property
    def body(self) -> bytes: ...

    @property
    def query(self) -> Mapping[str, str]: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


def needs_of(
    request: Request,
    account: str,
    region: str,
    tags_of: Callable[[str], Mapping[str, str]] = lambda arn: {},
) -> Iterator[Need]:
    """Yield the permissions that the caller of a request needs.

    An operation that is not in `resources` needs its own action on all resources.

    Args:
        request: Request to a service.
        account: Account of the resources.
        region: Region of the request.
        tags_of: Tags of a resource by its ARN; empty if it does not exist.
    """
    service, operation, resource = request.call
    if service == "s3":
        yield from s3_needs(operation, resource, request.query, request.headers, request.body)
        return
    prefix = _PREFIXES.get(service, service)
    action = f"{prefix}:{operation}"
    if action in _FREE:
        return
    members = _members(request.body)
    members.setdefault("resourceArn", resource)
    zone = "iam" if prefix in _WITHOUT_REGION else prefix
    base = f"arn:{_partition(region)}:{zone}:{'' if zone == 'iam' else region}:{account}:"
    tags = _tags(members)
    requested = {**_tag_keys(tags, members), **_condition_keys(action, members)}
    for arn in _arns(RESOURCES.get(action, ("*",)), members, base):
        yield Need(action, arn, {**requested, **_resource_tags(prefix, arn, tags_of)})
    if tags and action in TAGGED:
        tagging, template = TAGGED[action]
        for arn in _arns((template,), members, base):
            yield Need(tagging, arn, _tag_keys(tags, members))
    if action in PASSED_ROLES:
        names, receiver = PASSED_ROLES[action]
        for role in dict.fromkeys(_found(members, names)):
            arn = role if role.startswith("arn:") else f"arn:aws:iam::{account}:role/{role}"
            keys = {"iam:PassedToService": receiver}
            yield Need("iam:PassRole", arn, {**keys, **_resource_tags("iam", arn, tags_of)})


def _partition(region: str) -> str:
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for start, name in prefixes.items() if region.startswith(start)), "aws")


def _members(body: bytes) -> dict[str, Any]:
    """Return the members of a request in JSON or in the query protocol."""
    try:
        members = json.loads(body) if body else {}
    except ValueError:
        return _nested(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    return members if isinstance(members, dict) else {}


def _nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return members of the query protocol, whose lists are `Tags.member.1.Key=…`."""
    members: dict[str, Any] = {}
    lists: dict[str, dict[str, Any]] = {}
    for name, value in pairs:
        if (item := _ITEM.fullmatch(name)) is None:
            members[name] = value
        elif item["member"]:
            lists.setdefault(item["list"], {}).setdefault(item["number"], {})[item["member"]] = (
                value
            )
        else:
            lists.setdefault(item["list"], {})[item["number"]] = value
    return members | {name: [*items.values()] for name, items in lists.items()}


def _arns(templates: tuple[str, ...], members: Mapping[str, Any], base: str) -> Iterator[str]:
    for template in templates:
        if template == "*":
            yield "*"
            continue
        names = _MEMBER.findall(template)
        for values in product(*(_values(members, name) for name in names)):
            if values and values[-1].startswith("arn:"):
                yield values[-1]
                continue
            resource = template
            for name, value in zip(names, values, strict=True):
                resource = resource.replace(f"{{{name}}}", value)
            # The default event bus is not a part of the names of its rules.
            yield base + resource.replace("rule/default/", "rule/")


def _values(members: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a member, for ARNs."""
    found = [_name(name, str(value)) for value in _at(members, name.split("."))]
    return found or [_DEFAULTS.get(name, "*")]


def _name(member: str, value: str) -> str:
    """Return the part of a value that ARNs contain."""
    if member in ("Name", "Names", "Path", "ResourceId") and not value.startswith("arn:"):
        return value.lstrip("/").partition(":")[0]  # of parameters: `/folder/name:version`
    if member == "Target":  # sagemaker-training-job:NAME_algo-1
        return value.rpartition(":")[2].rpartition("_")[0]
    if member in ("id", "ids"):  # of builds: PROJECT:ID
        return value.partition(":")[0]
    if member == "QueueUrl":
        return value.rpartition("/")[2]
    if member == "Entries.EventBusName" or member == "EventBusName":
        return value.rpartition("/")[2]
    return value


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    """Yield the values at a path of members, through lists."""
    if isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


def _found(value: Any, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the strings of members with these names, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _found(item, names)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name in names and isinstance(item, str):
                yield item
            else:
                yield from _found(item, names)


def _tags(members: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a request, in any of the forms that services use."""
    tags = members.get("tags", members.get("Tags", {}))
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {
        str(tag.get("Key", tag.get("key"))): str(tag.get("Value", tag.get("value", "")))
        for tag in tags
        if isinstance(tag, Mapping)
    }


def _tag_keys(tags: Mapping[str, str], members: Mapping[str, Any]) -> dict[str, Values]:
    names = (*tags, *members.get("TagKeys", ()))
    keys: dict[str, Values] = {f"aws:RequestTag/{name}": tags[name] for name in tags}
    return keys | ({"aws:TagKeys": names} if names else {})


def _condition_keys(action: str, members: Mapping[str, Any]) -> dict[str, Values]:
    keys: dict[str, Values] = {}
    for key, paths in CONDITION_KEYS.get(action, {}).items():
        found = [_text(value) for path in paths for value in _at(members, path.split("."))]
        if found:
            keys[key] = tuple(found) if key in MULTIVALUED else found[0]
    return keys


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _resource_tags(
    prefix: str, arn: str, tags_of: Callable[[str], Mapping[str, str]]
) -> dict[str, Values]:
    if arn == "*":
        return {}
    sources = ("aws", prefix) if prefix in _WITH_TAG_KEY else ("aws",)
    return {
        f"{source}:ResourceTag/{key}": value
        for key, value in tags_of(arn).items()
        for source in sources
    }
