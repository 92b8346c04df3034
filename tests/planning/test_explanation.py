from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Taint, Target
from tests.planning.selection_inputs import (
    BATCH,
    REAL,
    SAGEMAKER,
    TYPE,
    make_needs,
    no_fit_error,
    queue,
)


def test_a_note_reports_that_a_queue_may_use_other_types_than_the_required_one():
    needs = replace(make_needs("2", "2Gi"), required=((TYPE, "m5.large"),))
    (note,) = select(needs, [queue("q", "m5.large", "m5.xlarge")], REAL).notes
    assert note.startswith("queue 'q' also has other types")


def test_an_estimated_price_has_a_note():
    (note,) = select(make_needs("8", "64Gi", "h100"), SAGEMAKER, REAL).notes
    assert note == "the SageMaker price of ml.p5.4xlarge is estimated from the EC2 price"


def test_a_retired_type_is_selected_offline_with_a_note_on_what_fits_instead():
    (note,) = select(make_needs("8", "60Gi", "v100", 2), BATCH, REAL).notes
    assert "p3.8xlarge is retired" in note
    assert "p3dn.24xlarge fits instead" in note


def test_every_type_is_either_a_candidate_or_rejected_with_a_reason():
    selection = select(make_needs("4", "12Gi", "t4"), BATCH, REAL)
    fitting = [c.name for c in selection.candidates()]
    rejected = [r.instance_type for r in selection.rejections()]
    assert fitting[0] == "g4dn.xlarge"
    named = [*BATCH[0].instance_types, *BATCH[0].closed]
    assert sorted([*fitting, *map(str, rejected)]) == sorted(named)
    assert all(r.reason for r in selection.rejections())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("g5.xlarge", "it has a10g, not t4"),
        ("m5.large", "it has no GPU, not t4"),
        ("g4dn.xlarge", "it provides 4 vCPUs"),
        ("p5e.48xlarge", "us-east-1 does not offer it"),
        ("g4dn.metal", "it is bare metal, which starts slowly, and other types fit"),
    ],
)
def test_a_rejected_type_has_a_reason(name, reason):
    selection = select(make_needs("8", "12Gi", "t4"), BATCH, REAL)
    assert {r.reason for r in selection.rejections() if r.instance_type == name} == {reason}


def test_a_type_that_the_catalog_lacks_is_rejected_by_name():
    selection = select(make_needs("1", "1Gi"), [queue("q", "m5.large", "m99.large")], REAL)
    (rejection,) = selection.rejections()
    assert (rejection.instance_type, rejection.reason) == (
        "m99.large",
        "the catalog contains no such batch type",
    )


@pytest.mark.parametrize(
    ("needs", "why", "fix"),
    [
        (
            make_needs("4", "12Gi", "a100", 16),
            "no type has more than 8 x a100 (p4d.24xlarge), but the job requests 16 x a100",
            "at most 8 x a100 (p4d.24xlarge for $21.96 an hour)",
        ),
        (
            make_needs("4", "40Ti"),
            "no type has more than 30801Gi memory (u7in-32tb.224xlarge), "
            "but the job requests 40960Gi memory",
            "at most 30801Gi memory (u7in-32tb.224xlarge",
        ),
        (
            make_needs("1000", "1Gi"),
            "no type has more than 896 vCPUs",
            "at most 896 vCPUs (u7i-12tb.224xlarge",
        ),
        (
            make_needs("1", "1Gi", "v100", gpu_memory="48Gi"),
            "no type has more than 32 GB of GPU memory (p3dn.24xlarge)",
            "at most 32 GB of GPU memory (p3dn.24xlarge",
        ),
        (
            make_needs("1", "1Gi", storage="100Ti"),
            "no type has more than 65536Gi storage",
            "at most 65536Gi storage",
        ),
        (
            make_needs("100", "1150Gi", "a100", 8),
            "no type has more than 96 vCPUs (p4d.24xlarge)",
            "at most 96 vCPUs and 1110Gi memory (p4d.24xlarge",
        ),
        (
            make_needs("1", "1Gi", "k80"),
            "no batch target has types with the GPU k80",
            "request an available GPU: b300, b200",
        ),
        (
            make_needs("1", "1Gi", "t4g"),
            "g5g.xlarge and 5 more: it is arm64, and the job needs x86_64",
            "require the label kubernetes.io/arch",
        ),
        (
            replace(make_needs(), required=((TYPE, "m5.lage"),)),
            "no target has node.kubernetes.io/instance-type=m5.lage",
            "did you mean m5.large",
        ),
        (
            replace(make_needs(gpu="t4"), required=((TYPE, "m5.large"),)),
            "m5.large: it has no GPU, not t4",
            "name a type that meets the other requirements",
        ),
        (
            replace(make_needs(), required=(("pool", "big"),)),
            "target 'catalog': it has no label 'pool', but the job requires pool=big",
            "add the label pool=big to a target",
        ),
    ],
    ids=str,
)
def test_an_error_names_the_limit_and_the_nearest_option(needs, why, fix):
    error = no_fit_error(needs, BATCH)
    assert why in error.why
    assert fix in error.fix
    assert str(needs) in error.what


def test_an_error_reports_that_the_system_reserves_part_of_the_memory():
    error = no_fit_error(make_needs("2", "8Gi"), [queue("q", "m5a.large")])
    assert "no type has more than 7661Mi memory (m5a.large)" in error.why
    assert "the system reserves part of its 8Gi" in error.why


@pytest.mark.parametrize(
    ("needs", "fix"),
    [
        (
            make_needs(gpu="b200"),
            "set up the family b200 in the account with infra/, in `families`: `b200 = {}` "
            '(Terraform) or `"b200": {}` (CDK): p6-b200.48xlarge fits for $113.93 an hour',
        ),
        (
            make_needs(gpu="a100", gpu_memory="80Gi"),
            '`a100-80gb = {}` (Terraform) or `"a100-80gb": {}` (CDK): p4de.24xlarge fits',
        ),
        (
            make_needs(gpu="a10g", count=4),
            "`a10g = { max_vcpus = 48 }` (Terraform) or "
            '`"a10g": {"max_vcpus": 48}` (CDK): g5.12xlarge fits',
        ),
        (
            make_needs(gpu="a10g", count=8),
            '`a10g = { max_vcpus = 192, sizes = [["g5.48xlarge"]] }` (Terraform) or '
            '`"a10g": {"max_vcpus": 192, "sizes": [["g5.48xlarge"]]}` (CDK): g5.48xlarge fits',
        ),
        (
            make_needs(gpu="v100", gpu_memory="32Gi"),
            '`v100 = { image_id = "ami-…" }` (Terraform) or `"v100": {"image_id": "ami-…"}` (CDK)',
        ),
    ],
    ids=str,
)
def test_an_error_names_the_family_of_the_account_that_has_the_gpu(needs, fix):
    error = no_fit_error(needs, [queue("q", "m5.large", "g4dn.xlarge")])
    assert error.why == f"no batch target has types with the GPU {needs.gpu_model}"
    assert fix in error.fix
    assert "request an available GPU: t4" in error.fix


def test_an_error_names_the_cpu_family_before_cheaper_types_that_an_account_does_not_have():
    error = no_fit_error(make_needs("32", "60Gi"), [queue("q", "m5.large")])
    assert "`cpu = {}` (Terraform)" in error.fix


def test_an_error_names_the_type_if_the_account_has_no_family_for_it():
    error = no_fit_error(make_needs("4", "3Ti"), [queue("q", "m5.large")])
    assert "to the `sizes` of a family in the account (infra/): it fits" in error.fix


def test_an_error_names_the_type_to_add_to_a_target_of_sagemaker():
    target = Target("small", "sagemaker", ("ml.m5.large",), placed_by="plan")
    error = no_fit_error(make_needs(gpu="a100"), [target])
    assert "add ml.p4d.24xlarge to a target of the settings: it fits for $25.25" in error.fix
    assert "infra" not in error.fix


def test_an_error_names_the_excluded_target_that_would_fit_the_job():
    targets = [queue("cpu", "m5.large"), queue("gpu", "g4dn.xlarge", taints=(Taint("gpu"),))]
    error = no_fit_error(make_needs(gpu="t4"), targets)
    assert "target 'gpu': its taint gpu:NoSchedule is not tolerated" in error.why
    assert "add a toleration for 'gpu'" in error.fix


def test_an_error_does_not_list_hundreds_of_excluded_targets():
    same = [queue(f"q{n}", "m5.large", taints=(Taint("t"),)) for n in range(100)]
    why = no_fit_error(make_needs(), same).why
    assert (
        why == "targets 'q0', 'q1', 'q2', 'q3' and 96 more: its taint t:NoSchedule is not tolerated"
    )
    different = [queue(f"q{n}", "m5.large", taints=(Taint(f"t{n}"),)) for n in range(100)]
    why = no_fit_error(make_needs(), different).why
    assert "target 'q3': its taint t3:NoSchedule" in why
    assert "'q4'" not in why
    assert "96 more targets" in why


def test_without_targets_the_error_reports_it():
    assert no_fit_error(make_needs(), []).why == "there is no target to run on"


def test_this_machine_is_not_a_target_for_instances():
    assert "no instance types" in no_fit_error(make_needs(), [Target("here", "local")]).why


def test_each_error_is_a_new_object_that_survives_pickling():
    first, second = no_fit_error(make_needs("1000"), BATCH), no_fit_error(make_needs("1000"), BATCH)
    assert first is not second
    assert str(pickle.loads(pickle.dumps(first))) == str(second)
