"""Translation of boto3 errors to errors with a reason and a fix."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from flowyml_aws.aws.answers import ForeignAnswerError, UnusableConfigurationError
from flowyml_aws.aws.denials import parse_denial
from flowyml_aws.core.errors import AwsRefusedError, AwsUnavailableError

__all__ = [
    "error_code",
    "has_expired",
    "has_reached_aws",
    "is_transient",
    "may_have_arrived",
    "refused",
]

_IDENTITY_HINT = "`aws sts get-caller-identity` shows whose credentials are used"
_SIGN_IN = "sign in again (`aws sso login`, or new keys) and retry: a run resumes where it stopped"
_NO_CREDENTIALS = (
    "run `aws configure sso` or `aws configure`, or set AWS_PROFILE; in a job, give the job a role"
)
_NETWORK = "check the network, the proxy and AWS_ENDPOINT_URL; in a VPC, its endpoints and routes"

# IAM actions of the operations that are not simply `<service>:<operation>`.
_S3_ACTIONS = {
    "HeadObject": "s3:GetObject and s3:ListBucket",
    # Without s3:ListBucket, S3 reports a missing object as denied.
    "GetObject": "s3:GetObject and s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "PutObject": "s3:PutObject",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_CREDENTIALS = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "UnrecognizedClientException",
}
_THROTTLED = {
    "RequestLimitExceeded",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
# ConditionalRequestConflict: another write or delete of the key is in progress.
_RETRIED = {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout"}
_RETRIED_STATUSES = {429, 500, 502, 503, 504}
_TRANSIENT = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    # The credentials of a job come from its host, over HTTP.
    CredentialRetrievalError,
    MetadataRetrievalError,
)
_LASTING = (ForeignAnswerError, SSLError, UnusableConfigurationError)
_OTHER_REGION = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
}


def error_code(error: ClientError) -> str:
    """Return the service's error code, or the HTTP status if the response to a HEAD has no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def may_have_arrived(error: ClientError | BotoCoreError) -> bool:
    """Return whether AWS may have carried out a call that failed: its answer was lost."""
    if isinstance(error, ClientError):
        return _status(error) >= 500 and error_code(error) not in _THROTTLED
    return isinstance(error, HTTPClientError)


def is_transient(error: Exception) -> bool:
    """Return whether a call may succeed later: AWS asked for a retry, or could not be reached."""
    if isinstance(error, ClientError):
        return _status(error) in _RETRIED_STATUSES or error_code(error) in _THROTTLED | _RETRIED
    return isinstance(error, _TRANSIENT) and not isinstance(error, _LASTING)


def has_expired(error: Exception) -> bool:
    """Return whether AWS refused a call because its credentials have expired."""
    if not isinstance(error, ClientError):
        return False
    # The response to a HEAD request has no body, so its code is the HTTP status.
    is_head = error.operation_name.startswith("Head")
    return error_code(error) in _EXPIRED or (is_head and error_code(error) == "400")


def has_reached_aws(error: Exception) -> bool:
    """Return whether a call that failed had a connection to AWS."""
    return isinstance(error, ClientError | HTTPClientError | IncompleteReadError)


def refused(error: ClientError | BotoCoreError, doing: str) -> AwsRefusedError:
    """Return the error to raise for a call that failed, at AWS or on the way there.

    Args:
        error: Exception that boto3 raised.
        doing: Description of the attempt, to follow "Can't": "read s3://bucket/key".
    """
    why, fix = _explain_response(error) if isinstance(error, ClientError) else _explain_local(error)
    kind = AwsUnavailableError if is_transient(error) or has_expired(error) else AwsRefusedError
    return kind(what=f"Can't {doing}", why=why, fix=fix)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _explain_response(error: ClientError) -> tuple[str, str]:
    code, operation = error_code(error), error.operation_name
    message = error.response.get("Error", {}).get("Message", "")
    why = f"{operation}: {code}: {message}"
    if code.startswith("AccessDenied") or code in {"403", "Forbidden", "UnauthorizedOperation"}:
        if denied := parse_denial(message):
            return f"{operation}: {code}: {denied.why}", denied.fix
        action = _S3_ACTIONS.get(operation, operation)
        return why, f"allow {action} on it in the policies that apply; {_IDENTITY_HINT}"
    if code in _EXPIRED:
        return f"the credentials have expired ({why})", _SIGN_IN
    if code in _UNKNOWN_CREDENTIALS:
        return (
            f"AWS does not know these credentials ({why})",
            f"correct the keys or the profile, and the region they belong to; {_IDENTITY_HINT}",
        )
    if code in {"SignatureDoesNotMatch", "IncompleteSignature"}:
        return why, "correct the secret key; if it is right, set this machine's clock"
    if code == "RequestTimeTooSkewed":
        return why, "set this machine's clock"
    if code == "NoSuchBucket":
        return why, "create the bucket, or correct its name in the settings"
    if code in _OTHER_REGION:
        return why, "set AWS_REGION to the bucket's region"
    if code in _THROTTLED:
        return f"AWS is throttling the calls ({why})", "wait a minute and retry"
    if code in {"400", "401"}:
        # The response to a HEAD request has no body with details.
        return why, f"credentials may have expired: {_SIGN_IN}"
    return why, f"correct what AWS reports; {_IDENTITY_HINT}"


def _explain_local(error: BotoCoreError) -> tuple[str, str]:
    why = str(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return why, _NO_CREDENTIALS
    # Checked by name: older versions of botocore do not have the errors of `aws login`.
    if isinstance(error, SSOError | TokenRetrievalError) or type(error).__name__.startswith(
        "Login"
    ):
        return why, _SIGN_IN
    if isinstance(error, ProfileNotFound):
        return why, "correct AWS_PROFILE; `aws configure list-profiles` shows the profiles"
    if isinstance(error, NoRegionError):
        return why, "set AWS_REGION, or `region` in the profile"
    if isinstance(error, ConnectionError | HTTPClientError):
        return why, _NETWORK
    return (
        f"{type(error).__name__}: {why}",
        "check the network and boto3's settings, and retry",
    )
