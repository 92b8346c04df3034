from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.testing.iam.evaluation import decide
from flowyml_aws.testing.iam.least import least_policy
from flowyml_aws.testing.iam.needs import Need
from flowyml_aws.testing.iam.policies import Policy
from tests.testing.iam.requests import ACCOUNT, REGION
from tests.testing.iam.statements import role

STORE = "arn:aws:s3:::b/flowyml"
RUN_TAG = {"aws:ResourceTag/flowyml-aws:run": "r"}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def resources(*needs: Need) -> Any:
    """Return the resources of the only statement of a least policy."""
    (statement,) = least_policy(needs)["Statement"]
    return statement["Resource"]


def test_objects_of_a_store_are_generalized_to_the_folders_of_its_layout() -> None:
    keys = ("artifacts/ab/abc", "cache/k.json", "code/x.tar.zst", "history/2026", "layers/l.json")
    found = resources(*(Need("s3:GetObject", f"{STORE}/{key}") for key in keys))
    folders = ("artifacts", "cache", "code", "history", "layers")
    assert found == [f"{STORE}/{folder}/*" for folder in folders]


def test_objects_of_jobs_are_separate_from_other_objects_of_runs() -> None:
    job, plan = f"{STORE}/runs/r/jobs/train/result.json", f"{STORE}/runs/r/plan.json"
    assert resources(Need("s3:PutObject", job)) == f"{STORE}/runs/*/jobs/*"
    assert resources(Need("s3:PutObject", plan)) == f"{STORE}/runs/*"
    # The broader pattern includes the other one.
    assert resources(*(Need("s3:PutObject", key) for key in (job, plan))) == f"{STORE}/runs/*"


def test_a_store_may_be_at_the_root_of_its_bucket() -> None:
    assert resources(Need("s3:GetObject", "arn:aws:s3:::b/runs/r/plan.json")) == (
        "arn:aws:s3:::b/runs/*"
    )


def test_other_objects_are_generalized_to_their_folder_if_there_are_several() -> None:
    data = "arn:aws:s3:::data/images"
    assert resources(Need("s3:GetObject", f"{data}/1.png")) == f"{data}/1.png"
    several = (Need("s3:GetObject", f"{data}/{number}.png") for number in range(3))
    assert resources(*several) == f"{data}/*"


def test_names_that_differ_from_run_to_run_are_generalized() -> None:
    for action, resource, expected in (
        ("batch:TagResource", arn("batch", "job/abc"), arn("batch", "job/*")),
        (
            "sagemaker:StopTrainingJob",
            arn("sagemaker", "training-job/t"),
            arn("sagemaker", "training-job/*"),
        ),
        (
            "batch:SubmitJob",
            arn("batch", "job-definition/flowyml-aws-abc:3"),
            arn("batch", "job-definition/flowyml-aws-*"),
        ),
        (
            "batch:SubmitJob",
            arn("batch", "job-definition/mine:3"),
            arn("batch", "job-definition/mine:*"),
        ),
        (
            "logs:GetLogEvents",
            arn("logs", "log-group:/g:log-stream:a/b"),
            arn("logs", "log-group:/g:log-stream:*"),
        ),
        (
            "logs:DescribeLogStreams",
            arn("logs", "log-group:/g:log-stream:"),
            arn("logs", "log-group:/g:*"),
        ),
        ("iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/job", f"arn:aws:iam::{ACCOUNT}:role/job"),
    ):
        assert resources(Need(action, resource)) == expected


def test_actions_with_the_same_resources_share_a_statement() -> None:
    needs = [
        Need(action, f"{STORE}/{folder}/k")
        for action in ("s3:PutObject", "s3:GetObject")
        for folder in ("layers", "artifacts")
    ]
    assert least_policy(needs) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "S3GetObject",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": [f"{STORE}/artifacts/*", f"{STORE}/layers/*"],
            }
        ],
    }


def test_roles_are_passed_only_to_the_services_that_got_them() -> None:
    job, training = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("job", "training"))
    document = least_policy(
        Need("iam:PassRole", role_arn, {"iam:PassedToService": f"{service}.amazonaws.com"})
        for role_arn, service in ((job, "ecs-tasks"), (training, "sagemaker"))
    )
    assert [
        (part["Sid"], part["Resource"], part["Condition"]) for part in document["Statement"]
    ] == [
        (
            *("IamPassRole", job),
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
        (
            *("IamPassRole2", training),
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]


def test_only_jobs_of_runs_can_be_terminated() -> None:
    used = Need("batch:TerminateJob", arn("batch", "job/abc"), RUN_TAG)
    sender = role(*least_policy([used])["Statement"])
    assert decide(used, sender).is_allowed
    assert not decide(Need("batch:TerminateJob", arn("batch", "job/other")), sender).is_allowed


USED = st.lists(
    st.builds(
        Need,
        st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:ListBucket", "batch:SubmitJob"]),
        st.sampled_from(
            [
                *("*", "arn:aws:s3:::b", f"{STORE}/runs/r/plan.json", f"{STORE}/cache/k"),
                *(
                    f"{STORE}/runs/r/jobs/j/spec.json",
                    "arn:aws:s3:::data/x/1",
                    "arn:aws:s3:::data/2",
                ),
                *("arn:aws:s3:::data/x/2", arn("batch", "job/j"), arn("batch", "job-queue/q")),
                *(arn("batch", "job-definition/d:1"), arn("logs", "log-group:/g:log-stream:s")),
            ]
        ),
        st.just({}) | st.just({"iam:PassedToService": "a"}) | st.just(RUN_TAG),
    ),
    min_size=1,
)


@given(USED)
def test_a_least_policy_allows_all_that_was_used(used: list[Need]) -> None:
    sender = role(*least_policy(used)["Statement"])
    assert all(decide(need, sender).is_allowed for need in used)


@given(USED)
def test_a_least_policy_allows_no_other_action(used: list[Need]) -> None:
    sender = role(*least_policy(used)["Statement"])
    others = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"} - {need.action for need in used}
    for need in used:
        for action in others:
            assert not decide(Need(action, need.resource, need.context), sender).is_allowed


@given(USED)
def test_a_least_policy_does_not_depend_on_the_order_and_is_well_formed(used: list[Need]) -> None:
    document = least_policy(used)
    assert document == least_policy([*reversed(used), *used])
    assert Policy.parse(document).statements
