from __future__ import annotations

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.planning.targets import Target
from flowyml_aws.services.sagemaker.targets import without_types


def test_a_target_leaves_out_its_own_types_by_the_name_of_either_service() -> None:
    target = Target("gpus", "sagemaker", ("g5.xlarge", "ml.g5.2xlarge", "ml.g5.4xlarge"))
    closed = {"ml.g5.xlarge": "no quota", "ml.g5.2xlarge": "none", "ml.p5.48xlarge": "none"}
    remaining = without_types(target, closed, load_catalog())
    assert remaining.instance_types == ("ml.g5.4xlarge",)
    assert remaining.closed == {"ml.g5.xlarge": "no quota", "ml.g5.2xlarge": "none"}
