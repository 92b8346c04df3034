"""The organisation's defaults for SageMaker, as its SDK keeps them in `config.yaml`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flowyml_aws.aws.sagemaker_terms import TrainingTerms, organisation_terms
from flowyml_aws.core.errors import SettingsError

__all__ = ["read_organisation_terms"]


def read_organisation_terms() -> TrainingTerms:
    """What the SDK's configuration files say; nothing where the SDK is not installed.

    The SDK finds them: for all users of a machine, for this one, or where
    SAGEMAKER_ADMIN_CONFIG_OVERRIDE and SAGEMAKER_USER_CONFIG_OVERRIDE point to, also on S3.

    Raises:
        SettingsError: A file is named and missing, or malformed.
    """
    if not _has_sdk():
        return TrainingTerms()
    # Imported only here: it takes seconds.
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
    return organisation_terms(config)


def _has_sdk() -> bool:
    try:
        return bool(version("sagemaker-core"))
    except PackageNotFoundError:
        return False
