"""AWS's messages about denied calls: the principal, the action, and the statement to add.

Source: "Troubleshoot access denied error messages" in the IAM user guide.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

__all__ = ["Denied", "parse_denial"]

_MESSAGE = re.compile(
    r"(?:User|Principal): (?P<principal>\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on resource: \"?(?P<resource>[^\s\"]+)\"?)?(?: (?P<reason>(?:because|with) .+))?",
    re.DOTALL,
)
_SESSION = re.compile(r"arn:[\w-]+:sts::\d+:assumed-role/([^/]+)/.+")


@dataclass(frozen=True, slots=True)
class Denied:
    """A denied call.

    Attributes:
        principal: ARN of the caller.
        action: Action that was denied, such as `s3:GetObject`.
        resource: ARN of the resource; `*` if AWS names none.
        reason: AWS's reason, starting with `because` or `with`; empty if it gives none.
    """

    principal: str
    action: str
    resource: str
    reason: str

    @property
    def caller(self) -> str:
        """The caller in words: `role NAME` for a session of a role, otherwise its ARN."""
        session = _SESSION.fullmatch(self.principal)
        return f"role {session[1]!r}" if session else self.principal

    @property
    def why(self) -> str:
        """The reason in one line."""
        on = "" if self.resource == "*" else f" on {self.resource}"
        return f"{self.caller} is not allowed {self.action}{on} {self.reason}".rstrip()

    @property
    def fix(self) -> str:
        """The change of a policy that allows the call."""
        if "explicit deny" in self.reason:
            policy = self.reason.partition("explicit deny in ")[2] or "a policy"
            return f"remove the Deny statement for {self.action} from {policy}"
        statement = json.dumps(
            {"Effect": "Allow", "Action": self.action, "Resource": self.resource}
        )
        for kind in ("permissions boundary", "session policy", "service control policy"):
            if kind in self.reason:
                return f"add to the {kind} of {self.caller}: {statement}"
        return f"add to the policies of {self.caller}: {statement}"


def parse_denial(message: str) -> Denied | None:
    """Return the denied call that a message of AWS describes, or None."""
    if (match := _MESSAGE.search(message)) is None:
        return None
    return Denied(
        match["principal"],
        match["action"],
        match["resource"] or "*",
        " ".join((match["reason"] or "").split()).rstrip("."),
    )
