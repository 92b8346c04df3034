"""The organization's SageMaker defaults, from the SDK's `config.yaml`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flowyml_aws.aws.sagemaker.options import TrainingOptions, organization_defaults
from flowyml_aws.core.errors import SettingsError

__all__ = ["read_organization_defaults"]


def read_organization_defaults() -> TrainingOptions:
    """Read the SDK's configuration files. Return empty options if the SDK is not installed.

    The SDK finds the files: of the machine, of the user, or at the paths and S3 URIs in
    SAGEMAKER_ADMIN_CONFIG_OVERRIDE and SAGEMAKER_USER_CONFIG_OVERRIDE.

    Raises:
        SettingsError: A file that a variable names is missing, or a file is malformed.
    """
    if not _has_sdk():
        return TrainingOptions()
    # Imported here, because the import takes seconds.
    import jsonschema
    import yaml
    from sagemaker.core.config.config_manager import SageMakerConfig

    try:
        config: dict[str, Any] = SageMakerConfig().load_sagemaker_config()
    except (ValueError, OSError, yaml.YAMLError, jsonschema.ValidationError) as error:
        first_line = str(error).partition("\n")[0]
        raise SettingsError(
            what="The SageMaker SDK's configuration can't be read",
            why=first_line,
            fix="correct its config.yaml, or SAGEMAKER_USER_CONFIG_OVERRIDE and "
            "SAGEMAKER_ADMIN_CONFIG_OVERRIDE",
        ) from error
    return organization_defaults(config)


def _has_sdk() -> bool:
    try:
        return bool(version("sagemaker-core"))
    except PackageNotFoundError:
        return False
