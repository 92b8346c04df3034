"""Access control: which requests to the emulated account are denied."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flowyml_aws.testing.calls import ApiRequest, signing_key
from flowyml_aws.testing.iam.bucket_policies import policies_on
from flowyml_aws.testing.iam.evaluation import Principal, decide
from flowyml_aws.testing.iam.least import generalized, least_policy
from flowyml_aws.testing.iam.needs import list_need, needs_of
from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.principals import Caller, Principals

__all__ = ["AccessError", "Denial", "Guard"]

# The emulator speaks HTTP, clients of AWS speak HTTPS.
_WITHOUT_BUCKET = ("CreateBucket", "ListBuckets")
_CONTEXT = {"aws:SecureTransport": "true"}


@dataclass(frozen=True, slots=True)
class AccessError(Exception):
    """A request that is refused because of its credentials or permissions.

    Attributes:
        kind: `denied`; or the fault of the credentials: `missing`, `unknown`, `wrong token`.
        message: AWS's message.
    """

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Denial:
    """A permission that a caller lacked.

    Attributes:
        caller: Name of the role or user.
        need: The missing permission.
        reason: Reason in AWS's words.
        statement: Policy statement that would allow it; None if a statement denies it.
    """

    caller: str
    need: Need
    reason: str
    statement: Mapping[str, Any] | None

    def __str__(self) -> str:
        denied = f"denied: {self.caller}: {self.need.action} on {self.need.resource} {self.reason}"
        return f"{denied}; add {json.dumps(self.statement)}" if self.statement else denied


class Guard:
    """Decides about requests by the policies of their callers.

    Args:
        principals: The account's callers.
        account, region: The account.
        tags_of: Function that returns the tags of a resource by its ARN.
        exists: Function that returns whether a bucket, or an object `bucket/key`, exists.
        is_enforced: Whether denied requests are refused. If not, only credentials are checked, and
            denials are recorded.

    Attributes:
        denials: Denied permissions so far, in order.
        used: Permissions that allowed requests needed, generalized, by name of the caller.
        on_denial: Callback for each denial.
        exists: Same as the argument.
    """

    def __init__(
        self,
        principals: Principals,
        account: str,
        region: str,
        *,
        tags_of: Callable[[str], Mapping[str, str]],
        exists: Callable[[str], bool],
        is_enforced: bool,
    ) -> None:
        self.denials: list[Denial] = []
        self.used: dict[str, set[Need]] = {}
        self.on_denial: Callable[[Denial], None] = lambda denial: None
        self._principals = principals
        self._account = account
        self._region = region
        self._tags_of = tags_of
        self.exists = exists
        self._is_enforced = is_enforced

    def identify(self, environ: Mapping[str, Any]) -> Caller:
        """Return the caller of a WSGI request.

        Raises:
            AccessError: The request is unsigned, or its credentials are unknown.
        """
        key, token = signing_key(environ)
        if not key:
            raise AccessError("missing", "Request is missing Authentication Token")
        if (caller := self._principals.find(key)) is None:
            raise AccessError("unknown", "The security token included in the request is invalid.")
        if caller.token is not None and token != caller.token:
            raise AccessError(
                "wrong token", "The security token included in the request is invalid."
            )
        return caller

    def check(self, caller: Caller, request: ApiRequest) -> None:
        """Check a request's permissions.

        Raises:
            AccessError: A permission is missing.
        """
        if caller.principal is None:
            return
        service, operation, resource = request.call
        bucket = resource.partition("/")[0]
        if service == "s3" and operation not in _WITHOUT_BUCKET and not self.exists(bucket):
            # S3 reports it before it checks permissions, of which the bucket's policy is a part.
            return
        needs = tuple(needs_of(request, self._account, self._region, self._tags_of))
        self._require(caller.name, caller.principal, needs)
        is_read = service == "s3" and operation in ("GetObject", "HeadObject")
        if is_read and not self.exists(resource):
            # Without the permission to list, S3 does not reveal that an object does not exist.
            self._require(caller.name, caller.principal, (list_need(bucket),))

    def denial(self, role_arn: str, session: str, needs: Iterable[Need]) -> str | None:
        """Return AWS's message if a role does not allow what a service does with it, or None.

        Args:
            role_arn: ARN of the role that the service has assumed.
            session: Name of the session.
            needs: Permissions that the service needs.
        """
        principal = self._principals.role(role_arn, session)
        if principal is None:
            return None  # the role's absence is an error of its own
        try:
            self._require(role_arn.rpartition("/")[2], principal, needs)
        except AccessError as error:
            return error.message
        return None

    def least_policies(self) -> dict[str, dict[str, Any]]:
        """Return the least policy for the permissions that each role or user has used."""
        return {name: least_policy(needs) for name, needs in sorted(self.used.items())}

    def _require(self, name: str, principal: Principal, needs: Iterable[Need]) -> None:
        for need in needs:
            decision = decide(need, principal, policies_on(need), _CONTEXT)
            if not decision.is_allowed:
                denial = Denial(name, need, decision.reason, decision.missing())
                self.denials.append(denial)
                self.on_denial(denial)
                if self._is_enforced:
                    raise AccessError("denied", decision.message)
            self.used.setdefault(name, set()).add(generalized(need))
