"""Requests as boto3 serializes them, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlencode

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import create_serializer

from flowyml_aws.testing.calls import ApiRequest, api_call, headers_of, query_of
from flowyml_aws.testing.iam.needs import Need, needs_of

__all__ = ["ACCOUNT", "REGION", "needs", "sent"]

ACCOUNT, REGION = "123456789012", "us-east-1"


def needs(
    service: str,
    operation: str,
    tags_by_arn: Mapping[str, Mapping[str, str]] | None = None,
    **members: Any,
) -> list[Need]:
    """Return the permissions that a request needs."""
    known = tags_by_arn or {}
    request = sent(service, operation, **members)
    return [*needs_of(request, ACCOUNT, REGION, lambda arn: known.get(arn, {}))]


def sent(service: str, operation: str, **members: Any) -> ApiRequest:
    """Return the request for an operation (`SubmitJob`) with its members."""
    model = _model(service)
    serializer = create_serializer(model.metadata["protocol"], include_validation=False)
    request = serializer.serialize_to_request(members, model.operation_model(operation))
    path, _, fixed = request["url_path"].partition("?")
    query = request.get("query_string") or {}
    headers = {name.upper().replace("-", "_"): value for name, value in request["headers"].items()}
    scope = f"20261129/{REGION}/{model.signing_name}/aws4_request"
    environ = {
        "REQUEST_METHOD": request["method"],
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": "&".join(filter(None, (fixed, urlencode(query, doseq=True)))),
        "CONTENT_TYPE": headers.get("CONTENT_TYPE", ""),
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=AKIA/{scope}",
        **{f"HTTP_{name}": value for name, value in headers.items()},
    }
    body = request["body"]
    content = urlencode(body) if isinstance(body, dict) else body
    data = content if isinstance(content, bytes) else content.encode()
    call = api_call(environ, data)
    return ApiRequest(call, "AKIA", data, 0, query_of(environ), headers_of(environ))


@lru_cache
def _model(service: str) -> ServiceModel:
    # A loader of its own: clients change the paths in the models that they share.
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)
