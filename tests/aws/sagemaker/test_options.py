from __future__ import annotations

from flowyml_aws.aws.sagemaker.options import TrainingOptions, organization_defaults

PASCAL = {
    "SageMaker": {
        "TrainingJob": {
            "RoleArn": "arn:role/a",
            "VpcConfig": {"Subnets": ["subnet-a"], "SecurityGroupIds": ["sg-a"]},
            "ResourceConfig": {"VolumeKmsKeyId": "disks"},
            "OutputDataConfig": {"KmsKeyId": "outputs"},
            "Tags": [{"Key": "cost-centre", "Value": "7"}],
        }
    }
}
SNAKE = {
    "SageMaker": {
        "PythonSDK": {
            "Resources": {
                "GlobalDefaults": {
                    "vpc_config": {"subnets": ["subnet-g"], "security_group_ids": ["sg-g"]},
                    "role_arn": "arn:role/g",
                },
                "TrainingJob": {
                    "role_arn": "arn:role/t",
                    "resource_config": {"volume_kms_key_id": "disks"},
                    "output_data_config": {"kms_key_id": "outputs"},
                },
            }
        }
    }
}


def test_the_organizations_defaults_for_training_jobs_are_read() -> None:
    options = organization_defaults(PASCAL)
    assert (options.role, options.subnets, options.security_groups) == (
        "arn:role/a",
        ("subnet-a",),
        ("sg-a",),
    )
    assert (options.volume_kms_key, options.output_kms_key) == ("disks", "outputs")
    assert options.tags == {"cost-centre": "7"}


def test_defaults_for_training_jobs_take_precedence_over_global_defaults() -> None:
    options = organization_defaults(SNAKE)
    assert (options.role, options.subnets) == ("arn:role/t", ("subnet-g",))
    assert (options.volume_kms_key, options.output_kms_key) == ("disks", "outputs")


def test_defaults_for_other_resources_are_ignored() -> None:
    for config in ({}, {"SageMaker": {"ProcessingJob": {"RoleArn": "arn:role/p"}}}):
        assert organization_defaults(config) == TrainingOptions()


def test_settings_take_precedence_over_the_organizations_defaults() -> None:
    settings = TrainingOptions(role="arn:role/mine", tags={"cost-centre": "8", "team": "a"})
    merged = settings.with_defaults(organization_defaults(PASCAL))
    assert merged.role == "arn:role/mine"
    assert merged.subnets == ("subnet-a",)
    assert merged.tags == {"cost-centre": "8", "team": "a"}


def test_subnets_and_security_groups_come_from_the_same_source() -> None:
    settings = TrainingOptions(subnets=("subnet-mine",))
    merged = settings.with_defaults(organization_defaults(PASCAL))
    assert (merged.subnets, merged.security_groups) == (("subnet-mine",), ())
