"""An emulated account that the tests of a worker share, each with a store of its own.

As a program, it prints the account's settings, serves until stdin is closed, and prints the grants
that were used. Its arguments are modules to import before jobs start.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

from flowyml_aws.testing.account import BUCKET, PREFIX, placeholders
from flowyml_aws.testing.account_policies import account_policy
from tests.support.permissions import ROLES, all_grants_used

if TYPE_CHECKING:
    from flowyml_aws.testing import Emulator

__all__ = ["share_stores"]


def share_stores(aws: Emulator) -> None:
    """Give the account's roles their permissions in each store below the account's own."""
    names = {**placeholders(), "store_arn": f"arn:aws:s3:::{BUCKET}/flowyml/*"}
    for role in ROLES:
        aws.client("iam").put_role_policy(
            RoleName=f"{PREFIX}-{role}",
            PolicyName="stores",
            PolicyDocument=account_policy(role, names),
        )


def main() -> None:
    from flowyml_aws.testing import Emulator

    with Emulator(quotas="raised", failed_start_rate=0.1, warm_imports=sys.argv[1:]) as aws:
        share_stores(aws)
        for name, value in aws.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        sys.stdin.read()
        print(json.dumps(sorted(all_grants_used(aws.guard.used))))


if __name__ == "__main__":
    main()
