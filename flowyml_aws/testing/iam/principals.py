"""Callers of the emulated account: their credentials, and the policies that apply to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from urllib.parse import unquote

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.exceptions import NotFoundException
from moto.iam.models import Group, IAMBackend, ManagedPolicy, Role, User, iam_backends
from moto.sts.models import AssumedRole, sts_backends

from flowyml_aws.testing.iam.changes import IamChanges
from flowyml_aws.testing.iam.evaluation import Principal, decide
from flowyml_aws.testing.iam.policies import Policy
from flowyml_aws.testing.iam.services import need_of_service, service_principal

__all__ = ["AssumeRoleError", "Caller", "Principals", "SessionKeys"]

_SECONDS = 12 * 3600


class AssumeRoleError(Exception):
    """A service can't assume a role: the role does not exist, or does not trust the service."""


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Temporary credentials."""

    access_key: str
    secret_key: str
    token: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that the SDKs read."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.token,
        }


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        name: Name of its role or user.
        principal: Principal with its policies; None for the administrator, who may do everything.
        token: Session token that its requests must carry; None for a permanent access key.
    """

    name: str
    principal: Principal | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class _Policies:
    """Policies of a role."""

    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None


class Principals:
    """Finds the caller of a request, with the policies that IAM has at that time.

    Args:
        region: Region of the account.
        administrator: Access key of the administrator.
        changes: Roles and policies that do not take effect yet.
    """

    def __init__(self, region: str, administrator: str, changes: IamChanges) -> None:
        self._region = region
        self._administrator = administrator
        self._changes = changes
        # Policies of roles whose latest policies do not take effect yet.
        self._earlier: dict[str, _Policies] = {}
        changes.before_change = self._keep_policies
        self._sessions: dict[str, AssumedRole] = {}

    def assume(self, role_arn: str, session: str, service: str | None = None) -> SessionKeys:
        """Return temporary credentials of a role.

        Args:
            role_arn: ARN of the role.
            session: Name of the session.
            service: Service that assumes the role, such as `ecs-tasks.amazonaws.com`; None to
                issue them without asking the role's trust policy.

        Raises:
            AssumeRoleError: The role does not exist, or does not trust the service.
        """
        if service is not None:
            self._check_trust(role_arn, service)
        assumed = sts_backends[DEFAULT_ACCOUNT_ID]["aws"].assume_role(
            region_name=self._region,
            role_session_name=session,
            role_arn=role_arn,
            policy="",
            duration=_SECONDS,
            external_id="",
        )
        self._sessions[assumed.access_key_id] = assumed
        return SessionKeys(assumed.access_key_id, assumed.secret_access_key, assumed.session_token)

    def role(self, role_arn: str, session: str) -> Principal | None:
        """Return a session of a role as a principal, or None if the role does not exist."""
        role = _role(role_arn)
        return None if role is None else self._role_session(role, session)

    def find(self, access_key: str) -> Caller | None:
        """Return the owner of an access key, or None if it is unknown."""
        if access_key == self._administrator:
            return Caller("administrator", None)
        if (assumed := self._session(access_key)) is not None:
            role = _role(assumed.role_arn)
            if role is None:
                return None
            session_policies = (assumed.policy,) if assumed.policy else ()
            principal = self._role_session(role, assumed.session_name, session_policies)
            return Caller(role.name, principal, assumed.session_token)
        if (user := _iam().get_user_from_access_key_id(access_key)) is not None:
            return Caller(user.name, _user(user))
        return None

    def _session(self, access_key: str) -> AssumedRole | None:
        if access_key not in self._sessions:
            # Sessions of clients that called AssumeRole.
            sts = sts_backends[DEFAULT_ACCOUNT_ID]["aws"]
            if (assumed := sts.get_assumed_role_from_access_key(access_key)) is None:
                return None
            self._sessions[access_key] = assumed
        return self._sessions[access_key]

    def _role_session(self, role: Role, session: str, policies: Iterable[str] = ()) -> Principal:
        effective = self._effective_policies(role)
        return Principal(
            arn=f"arn:aws:sts::{DEFAULT_ACCOUNT_ID}:assumed-role/{role.name}/{session}",
            account=DEFAULT_ACCOUNT_ID,
            tags={tag["Key"]: tag["Value"] for tag in role.tags or ()},
            identity=effective.identity,
            boundary=effective.boundary,
            session=tuple(_parsed(text, "session policy") for text in policies),
        )

    def _effective_policies(self, role: Role) -> _Policies:
        if self._changes.are_policies_in_effect(role.name):
            self._earlier.pop(role.name, None)
            return _policies(role)
        return self._earlier.get(role.name, _Policies())

    def _keep_policies(self, name: str) -> None:
        """Keep the policies of a role that are in effect, before they change."""
        with suppress(NotFoundException):  # IAM will refuse the change
            self._earlier[name] = self._effective_policies(_iam().get_role(name))

    def _check_trust(self, role_arn: str, service: str) -> None:
        role = _role(role_arn)
        if role is None or not self._changes.is_visible(role.name):
            raise AssumeRoleError(f"Role {role_arn} does not exist")
        sender = service_principal(service)
        need = need_of_service(
            sender, "sts:AssumeRole", role_arn, DEFAULT_ACCOUNT_ID, source_arn=role_arn
        )
        trust = _parsed(role.assume_role_policy_document, "trust policy")
        if not decide(need, sender, (trust,)).is_allowed:
            raise AssumeRoleError(f"Role {role_arn} does not trust {service}")


def _iam() -> IAMBackend:
    return iam_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _role(role_arn: str) -> Role | None:
    try:
        return _iam().get_role_by_arn(role_arn)
    except NotFoundException:
        return None


def _policies(role: Role) -> _Policies:
    return _Policies(tuple(_identity_policies(role)), _boundary(role.permissions_boundary_arn))


def _user(user: User) -> Principal:
    groups = [
        group
        for group in _iam().groups.values()
        if any(member.name == user.name for member in group.users)
    ]
    return Principal(
        arn=user.arn,
        account=DEFAULT_ACCOUNT_ID,
        kind="user",
        identity=tuple(chain(_identity_policies(user), *map(_identity_policies, groups))),
    )


def _identity_policies(owner: Role | User | Group) -> Iterator[Policy]:
    for name, text in owner.policies.items():
        yield _parsed(text, name)
    for managed in owner.managed_policies.values():
        yield _managed(managed)


def _boundary(arn: str | None) -> Policy | None:
    return None if arn is None else _managed(_iam().get_policy(arn))


def _managed(policy: ManagedPolicy) -> Policy:
    default = next(v for v in policy.versions if v.version_id == policy.default_version_id)
    return _parsed(default.document, policy.name)


@lru_cache(maxsize=1024)
def _parsed(text: str, name: str) -> Policy:
    if not text.lstrip().startswith("{"):
        text = unquote(text)
    return Policy.parse(json.loads(text), name)
