from __future__ import annotations

from flowyml_aws.aws.sagemaker_terms import TrainingTerms, organisation_terms

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


def test_an_organisations_defaults_of_training_jobs_are_read() -> None:
    terms = organisation_terms(PASCAL)
    assert (terms.role, terms.subnets, terms.security_groups) == (
        "arn:role/a",
        ("subnet-a",),
        ("sg-a",),
    )
    assert (terms.volume_kms_key, terms.output_kms_key) == ("disks", "outputs")
    assert terms.tags == {"cost-centre": "7"}


def test_those_of_training_jobs_come_before_those_of_everything() -> None:
    terms = organisation_terms(SNAKE)
    assert (terms.role, terms.subnets) == ("arn:role/t", ("subnet-g",))
    assert (terms.volume_kms_key, terms.output_kms_key) == ("disks", "outputs")


def test_a_configuration_of_something_else_says_nothing() -> None:
    for config in ({}, {"SageMaker": {"ProcessingJob": {"RoleArn": "arn:role/p"}}}):
        assert organisation_terms(config) == TrainingTerms()


def test_settings_come_before_an_organisations_defaults() -> None:
    own = TrainingTerms(role="arn:role/mine", tags={"cost-centre": "8", "team": "a"})
    both = own.over(organisation_terms(PASCAL))
    assert both.role == "arn:role/mine"
    assert both.subnets == ("subnet-a",)
    assert both.tags == {"cost-centre": "8", "team": "a"}


def test_a_network_is_taken_as_a_whole() -> None:
    own = TrainingTerms(subnets=("subnet-mine",))
    both = own.over(organisation_terms(PASCAL))
    assert (both.subnets, both.security_groups) == (("subnet-mine",), ())
