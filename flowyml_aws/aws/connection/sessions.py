"""botocore sessions, which share the service models that they have read."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session

from flowyml_aws.aws.answers import check_answers
from flowyml_aws.aws.connection.service_models import ServiceModelLoader

__all__ = ["new_session"]


def new_session() -> Any:
    """Return a session that checks the answers of AWS.

    Raises:
        BotoCoreError: botocore's configuration can't be read.
    """
    session = botocore.session.get_session()
    check_answers(session)
    loader = _model_loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    return session


@cache
def _model_loader(data_path: str | None) -> ServiceModelLoader:
    """Return a loader of botocore's service models that all sessions share.

    Reading the models takes most of the time that creating a client takes.
    """
    return ServiceModelLoader.of(data_path)
