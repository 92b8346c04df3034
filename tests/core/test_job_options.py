"""Options of the job that runs a step: declarations, mistakes, groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flowyml_aws import EFS, FlowymlError, FSx, ResourceRequirements, Step, step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.core.errors import InvalidStepError
from flowyml_aws.core.job_options import (
    FAIR_SHARE_LABEL,
    NO_OPTIONS,
    QUEUE_LABEL,
    JobOptions,
    Ulimit,
)
from flowyml_aws.core.mounts import Mount
from flowyml_aws.core.resources import NodeAffinity
from flowyml_aws.core.step_grouping import StepGroup, split_items
from tests.core.graphs import a_step

FILES = "fs-0123456789abcdef0"
LUSTRE = "fs-fedcba98765432100"
POINT = "fsap-0123456789abcdef0"
ROLE = "arn:aws:iam::123456789012:role/team/training"


def declared(**options: Any) -> Step:
    @step(outputs=["model"], **options)
    def train() -> int:
        return 1

    return train


def problems(**options: Any) -> list[FlowymlError]:
    return declared(**options).problems()


def built(*steps: Step) -> tuple[tuple[StepGroup, ...], list[FlowymlError]]:
    pipeline, found = build_pipeline(list(bind_steps(steps, (), {})), ())
    return (() if pipeline is None else pipeline.groups), found


def test_a_step_without_options_has_none() -> None:
    assert declared().job == NO_OPTIONS
    assert declared().job.values() == {}
    assert declared().requirements() is None


def test_options_are_normalized_so_that_equal_ones_are_equal() -> None:
    options: dict[str, Any] = {"image": "r/train:1", "queue": "gpu", "priority": 7, "role": ROLE}
    train = declared(
        **options,
        shared_memory="8Gi",
        ulimits={"nofile": 65536, "memlock": (-1, -1), "core": [0, 10]},
        mounts=[
            EFS(FILES, access_point=POINT),
            FSx(LUSTRE, path="/a/./b/", at="/mnt/a/", read_only=True),
        ],
    )
    assert train.problems() == []
    assert train.job == JobOptions(
        **options,
        shared_memory_mib=8192,
        ulimits=(
            Ulimit("core", 0, 10),
            Ulimit("memlock", -1, -1),
            Ulimit("nofile", 65536, 65536),
        ),
        mounts=(
            Mount("fsx", LUSTRE, "/a/b", "/mnt/a", read_only=True),
            Mount("efs", FILES, "/", "/mnt/data", POINT),
        ),
    )
    assert declared(shared_memory="8192Mi").job == declared(shared_memory="8Gi").job


@pytest.mark.parametrize(
    "name", ["train", "train:3", "arn:aws:batch:eu-west-1:123456789012:job-definition/train:3"]
)
def test_a_job_definition_is_named_as_in_submit_job(name: str) -> None:
    assert problems(job_definition=name) == []
    assert declared(job_definition=name).job.job_definition == name


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"image": ""}, "the URI of a container image"),
        ({"image": "a b"}, "the URI of a container image"),
        (
            {"queue": "arn:aws:batch:eu-west-1:123456789012:job-queue/gpu"},
            "the name of a job queue",
        ),
        ({"priority": -1}, "an integer from 0 to 9999"),
        ({"priority": 10_000}, "an integer from 0 to 9999"),
        ({"priority": True}, "an integer from 0 to 9999"),
        ({"priority": "high"}, "an integer from 0 to 9999"),
        ({"role": "training"}, "the ARN of an IAM role"),
        ({"shared_memory": "8Gib"}, "not a number with an optional unit"),
        ({"shared_memory": 8}, "a number without a unit is in bytes"),
        ({"ulimits": 65536}, "a mapping of names to limits"),
        ({"ulimits": {"nofile": "65536"}}, "an integer from 0, or -1"),
        ({"ulimits": {"nofile": (1, 2, 3)}}, "or two of them"),
        ({"ulimits": {"nofile": (2, 1)}}, "soft limit 2 is above the hard limit 1"),
        ({"ulimits": {"nofile": (-1, 1)}}, "soft limit -1 is above the hard limit 1"),
        ({"mounts": EFS(FILES)}, "mounts must be a list"),
        ({"mounts": [FILES]}, r"must be EFS\(…\) or FSx\(…\), got str"),
        ({"mounts": [EFS("0123")]}, "the id of a file system"),
        ({"mounts": [EFS(FILES, path="data")]}, "path must be an absolute path"),
        ({"mounts": [EFS(FILES, at="/mnt/../etc")]}, "at must be an absolute path"),
        ({"mounts": [EFS(FILES, at="/")]}, "a folder of its own"),
        ({"mounts": [FSx(FILES, at="/dev/shm")]}, "a folder of its own"),
        ({"mounts": [EFS(FILES, access_point="fs-01234567")]}, "the id of an access point"),
        ({"mounts": [EFS(FILES, "/a", access_point=POINT)]}, "has a path of its own"),
        ({"mounts": [EFS(FILES, read_only="yes")]}, "read_only must be True or False"),  # type: ignore[arg-type]
        ({"mounts": [EFS(FILES), FSx(LUSTRE)]}, "both mounted at /mnt/data"),
        ({"job_definition": "train:latest"}, "the name or the ARN of a job definition"),
    ],
)
def test_an_invalid_option_is_a_mistake_that_names_the_argument(
    options: dict[str, Any], reason: str
) -> None:
    (problem,) = problems(**options)
    assert isinstance(problem, InvalidStepError)
    assert problem.what.startswith(f"Step 'train': Invalid argument {next(iter(options))}=")
    with pytest.raises(InvalidStepError, match=reason):
        raise problem


def test_all_mistakes_are_found_at_once_and_valid_options_remain() -> None:
    options: dict[str, Any] = {"queue": "gpu", "priority": -1, "role": 3, "ulimits": {"x": 1}}
    found = problems(**options)
    arguments = [problem.what.split("argument ")[1].split("=")[0] for problem in found]
    assert arguments == ["priority", "role", "ulimits"]
    assert declared(**options).job == JobOptions(queue="gpu")


def test_a_misspelled_ulimit_has_a_suggestion() -> None:
    (problem,) = problems(ulimits={"nofiles": 65536})
    assert problem.fix == "did you mean 'nofile'?"


def test_a_job_definition_contains_what_a_submission_cannot_override() -> None:
    (problem,) = problems(job_definition="train", image="i", mounts=[EFS(FILES)], queue="gpu")
    assert problem.what == "Step 'train': job_definition together with image, mounts"


def test_a_queue_a_priority_and_fsx_require_labels_of_the_target() -> None:
    train = declared(queue="gpu", priority=0, mounts=[FSx(LUSTRE), EFS(FILES, at="/mnt/b")])
    requirements = train.requirements()
    assert requirements is not None
    assert requirements.node_affinity == NodeAffinity(
        required={
            QUEUE_LABEL: "gpu",
            FAIR_SHARE_LABEL: "true",
            f"fsx.amazonaws.com/{LUSTRE}": "mounted",
        }
    )


def test_other_options_require_no_label() -> None:
    options = {"image": "i", "role": ROLE, "shared_memory": "8Gi", "mounts": [EFS(FILES)]}
    assert declared(**options, ulimits={"core": 0}).requirements() is None


def grouped(**options: Any) -> Sequence[Step]:
    first = a_step("a", group="g", **{k: v[0] for k, v in options.items() if v[0] is not None})
    second = a_step("b", ["a"], group="g", **{k: v[1] for k, v in options.items()})
    return first, second


@pytest.mark.parametrize(
    ("option", "values", "name"),
    [
        ("image", ("i:1", "i:2"), "image"),
        ("queue", ("cpu", "gpu"), "queue"),
        ("priority", (0, 1), "priority"),
        ("role", (ROLE, f"{ROLE}2"), "role"),
        ("shared_memory", ("1Gi", "2Gi"), "shared_memory"),
        ("ulimits", ({"core": 0}, {"core": 1}), "ulimits core"),
        ("mounts", ([EFS(FILES)], [EFS(FILES, read_only=True)]), "mounts /mnt/data"),
        ("job_definition", ("d:1", "d:2"), "job_definition"),
    ],
)
def test_grouped_steps_with_different_options_are_an_error_that_names_both(
    option: str, values: tuple[Any, Any], name: str
) -> None:
    _, found = built(*grouped(**{option: values}))
    (problem,) = found
    assert problem.what.startswith(f"Steps 'a' and 'b' declare different values of {name}: ")
    assert problem.why == "both run in one job, in group 'g'"


def test_a_queue_in_the_node_affinity_is_the_option() -> None:
    affinity = NodeAffinity(required={QUEUE_LABEL: "cpu"})
    first = a_step("a", group="g", resources=ResourceRequirements(node_affinity=affinity))
    (problem,) = built(first, a_step("b", ["a"], group="g", queue="gpu"))[1]
    assert "different values of queue: cpu and gpu" in problem.what


def test_grouped_steps_share_the_options_of_all_of_them() -> None:
    first = a_step("a", group="g", image="i", ulimits={"core": 0}, mounts=[EFS(FILES, at="/b")])
    second = a_step(
        "b", ["a"], group="g", ulimits={"core": 0, "cpu": 9}, mounts=[EFS(FILES, at="/a")]
    )
    ((group,), found) = built(first, second)
    assert found == []
    assert group.options.values() == {
        "image": "i",
        "ulimits core": "0:0",
        "ulimits cpu": "9:9",
        "mounts /a": f"EFS {FILES}:/",
        "mounts /b": f"EFS {FILES}:/",
    }
    rest = group.only({"b"})
    assert rest is not None
    assert rest.options == group.options  # as its environment


def test_steps_in_different_groups_can_have_different_options() -> None:
    groups, found = built(a_step("a", queue="cpu"), a_step("b", ["a"], queue="gpu"))
    assert found == []
    assert [group.options.queue for group in groups] == ["cpu", "gpu"]
    assert [split_items(group, 1)[0].options.queue for group in groups] == ["cpu", "gpu"]
