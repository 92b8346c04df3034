"""Grants of the account's policies that no test uses.

A run of all tests reports them; with `--thorough`, it fails.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from flowyml_aws.testing.account_policies import ROLES

# Other modules of the emulator are imported where they are used: moto would slow down unit tests.
if TYPE_CHECKING:
    from flowyml_aws.testing.iam.permissions import Need
    from flowyml_aws.testing.iam.policies import Statement

__all__ = ["ROLES", "Grant", "UsedGrants", "grants", "record_used_grants", "used_grants"]

Grant = tuple[str, str, str]
"""Role, action and resource pattern."""

ABORTING = "a failed upload is aborted: tests of the store, on another server"
DRIVING = "a detached run on both services, and its cancellation: `make test-all`"
WAITING = "a detached run whose job waits after a job of another run: it takes half a minute"
PLATFORM = "SageMaker creates its log group before the first job"
CHECKPOINTS = "AWS does not say whether SageMaker deletes checkpoints that a step has deleted"
PLANNING = "durations for the pipeline of a dynamic step: on Batch, with the same statement"
LAYERS = "requirements on SageMaker: tests/runtime, on this machine"
UNUSED: Mapping[tuple[str, ...], str] = {
    ("user", "s3:AbortMultipartUpload"): ABORTING,
    ("user", "s3:ListBucketMultipartUploads"): "`gc` on AWS: `make test-all`",
    ("job", "s3:AbortMultipartUpload"): ABORTING,
    ("sagemaker", "s3:AbortMultipartUpload"): ABORTING,
    ("sagemaker", "s3:DeleteObject"): CHECKPOINTS,
    ("sagemaker", "s3:GetObject", "${store_arn}/layers/*"): LAYERS,
    ("sagemaker", "s3:PutObject", "${store_arn}/layers/*"): LAYERS,
    ("sagemaker", "s3:GetObject", "${store_arn}/history/*"): PLANNING,
    ("sagemaker", "logs:CreateLogGroup"): PLATFORM,
    ("sagemaker", "logs:DescribeLogStreams"): PLATFORM,
    ("driver", "s3:PutObject", "${store_arn}/runs/*/submissions/*"): DRIVING,
    ("driver", "s3:PutObject", "${store_arn}/history/*"): DRIVING,
    ("driver", "sagemaker:DescribeTrainingJob"): DRIVING,
    ("driver", "batch:GetJobQueueSnapshot"): WAITING,
    ("driver", "batch:ListJobs"): DRIVING,
    ("driver", "batch:RegisterJobDefinition"): DRIVING,
    ("driver", "batch:TagResource"): DRIVING,
    ("driver", "batch:TerminateJob"): DRIVING,
    ("driver", "sagemaker:StopTrainingJob"): DRIVING,
    ("driver", "iam:PassRole", "${job_role_arn}"): DRIVING,
    ("driver", "iam:PassRole", "${execution_role_arn}"): DRIVING,
}
"""Grants that no test of `make test` uses, by role and action or by grant, with the reason."""

_CONDITIONS = (
    "aws:ResourceTag/flowyml-aws:run",
    "cloudwatch:namespace",
    "iam:PassedToService",
    "s3:ObjectCreationOperation",
    "s3:if-none-match",
)
# Run ids and digests: the parts of resources that differ from request to request.
_DIFFERS = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}|[0-9a-f]{32,64}")

used_grants: set[Grant] = set()
"""Grants that the emulators of this process, and those that it has started, have used."""


@cache
def _statements(role: str) -> tuple[tuple[dict[str, Any], tuple[Statement, ...]], ...]:
    """Return each statement of a role's policy: as in the file, and as in accounts of tests."""
    from flowyml_aws.testing.account import BUCKET, NAMES
    from flowyml_aws.testing.account_policies import account_policy
    from flowyml_aws.testing.iam.policies import Policy

    names = {name: f"${{{name}}}" for name in NAMES}
    documents = json.loads(account_policy(role, names))["Statement"]
    stores = (NAMES["store_arn"], f"arn:aws:s3:::{BUCKET}/flowyml/*")
    policies = [
        Policy.parse(account_policy(role, {**NAMES, "store_arn": store}), role) for store in stores
    ]
    parsed = zip(*(policy.statements for policy in policies), strict=True)
    return tuple(zip(documents, parsed, strict=True))


def grants() -> Iterator[Grant]:
    """Yield all grants of the account's policies."""
    for role in ROLES:
        for document, _ in _statements(role):
            for action in _listed(document["Action"]):
                for resource in _listed(document["Resource"]):
                    yield role, action, resource


def record_used_grants(patch: pytest.MonkeyPatch) -> None:
    """Add the grants that the emulators of this process use to `used_grants`, from now on."""
    from flowyml_aws.testing.account import PREFIX
    from flowyml_aws.testing.iam.guard import Guard

    require = Guard._require

    def require_and_record(self: Guard, name: str, principal: Any, needs: Iterable[Need]) -> None:
        needs = tuple(needs)
        require(self, name, principal, needs)
        if (role := name.removeprefix(f"{PREFIX}-")) in ROLES:
            used_grants.update(grant for need in needs for grant in _grants_used(role, need))

    patch.setattr(Guard, "_require", require_and_record)


def _grants_used(role: str, need: Need) -> frozenset[Grant]:
    """Return the grants that allow a permission.

    The conditions of the request count: some grants are for objects that do not exist yet.
    """
    context = tuple((key, str(need.context[key])) for key in _CONDITIONS if key in need.context)
    return _grants_of(role, need.action, _DIFFERS.sub("0", need.resource), context)


@cache
def _grants_of(
    role: str, action: str, resource: str, context: tuple[tuple[str, str], ...]
) -> frozenset[Grant]:
    from flowyml_aws.testing.iam.conditions import Context
    from flowyml_aws.testing.iam.patterns import wildcard

    found = set()
    for document, variants in _statements(role):
        for statement in variants:
            if statement.applies_to(action, resource, Context(dict(context))):
                resources = zip(_listed(document["Resource"]), statement.resources, strict=True)
                for written, pattern_text in resources:
                    pattern = wildcard(pattern_text)
                    if pattern is not None and pattern.fullmatch(resource):
                        found.add((role, action, written))
    return frozenset(found)


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


class UsedGrants:
    """Collects the grants that the emulators of a pytest run use, on all of its workers."""

    KEY = "used_grants"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_thorough = bool(config.getoption("--thorough"))
        self._undo = pytest.MonkeyPatch()

    def pytest_collection_finish(self) -> None:
        if "flowyml_aws.testing.emulator" not in sys.modules:
            return  # no collected test uses one
        record_used_grants(self._undo)

    def pytest_testnodedown(self, node: object) -> None:
        output = getattr(node, "workeroutput", {})
        used_grants.update(tuple(grant) for grant in output.get(self.KEY, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._undo.undo()
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[self.KEY] = sorted(used_grants)
        elif self._is_thorough and session.exitstatus == pytest.ExitCode.OK and self.unused():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for role, action, resource in self.unused():
            terminalreporter.write_line(f"UNUSED PERMISSION {role}: {action} on {resource}")

    def unused(self) -> list[Grant]:
        """Return the grants without a use; empty if only a part of the tests was run."""
        option = self._config.option
        is_whole = (
            self._config.args_source is not pytest.Config.ArgsSource.ARGS
            and not option.keyword
            and not option.markexpr
            and not option.collectonly
            and not getattr(option, "lf", False)
        )
        if not is_whole:
            return []
        explained = UNUSED.keys()
        unused = (grant for grant in grants() if grant not in used_grants)
        return [g for g in unused if g not in explained and g[:2] not in explained]
