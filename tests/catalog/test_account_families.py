from __future__ import annotations

from flowyml_aws.catalog.account_families import account_family
from flowyml_aws.catalog.files import load_catalog


def test_the_limit_of_a_family_allows_all_nodes_of_a_job() -> None:
    instance = load_catalog().get("g5.xlarge")
    assert instance is not None
    family = account_family(instance)
    assert family is not None
    assert family.lines_for(instance, nodes=8) == (
        'a10g = { capacity = ["on-demand", "spot", "nodes"], max_vcpus = 32 }',
        '"a10g": {"capacity": ["on-demand", "spot", "nodes"], "max_vcpus": 32}',
    )


def test_the_lines_of_a_family_ask_for_efa_if_a_job_on_several_instances_requires_it() -> None:
    instance = load_catalog().get("g5.12xlarge")
    assert instance is not None
    family = account_family(instance)
    assert family is not None
    terraform, cdk = family.lines_for(instance, nodes=2, has_efa=True)
    assert terraform == (
        'a10g = { capacity = ["on-demand", "spot", "nodes"], efa = 1, max_vcpus = 96 }'
    )
    assert '"efa": 1' in cdk
    assert "efa" not in family.lines_for(instance, has_efa=True)[0]


def test_the_lines_for_nodes_leave_the_types_of_other_jobs_as_they_are() -> None:
    instance = load_catalog().get("c6i.32xlarge")
    assert instance is not None
    family = account_family(instance)
    assert family is not None
    assert 'nodes_sizes = [["c6i.32xlarge"]]' in family.lines_for(instance, nodes=2)[0]
    assert ' sizes = [["c6i.32xlarge"]]' in family.lines_for(instance)[0]
