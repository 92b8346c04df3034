"""What a refused call to AWS means, and what to do about it."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from flowyml_aws.core.errors import AwsRefusedError

__all__ = ["error_code", "refused"]

_WHO = "`aws sts get-caller-identity` shows whose credentials are used"
_SIGN_IN = "sign in again (`aws sso login`, or new keys) and repeat: a run goes on where it was"
_NO_CREDENTIALS = (
    "run `aws configure sso` or `aws configure`, or set AWS_PROFILE; in a job, give the job a role"
)
_NETWORK = "check the network, the proxy and AWS_ENDPOINT_URL; in a VPC, its endpoints and routes"

# What IAM calls the permission, where it is not `<service>:<operation>`.
_S3_ACTIONS = {
    "HeadObject": "s3:GetObject and s3:ListBucket",
    # Without the right to list, S3 answers "denied" where an object is missing.
    "GetObject": "s3:GetObject and s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "PutObject": "s3:PutObject",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {
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
_ELSEWHERE = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
}


def error_code(error: ClientError) -> str:
    """The service's code; of an answer without a body, such as that to a HEAD, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refused(error: ClientError | BotoCoreError, doing: str) -> AwsRefusedError:
    """The error to raise for a call that AWS, or the way to AWS, refused.

    Args:
        error: What boto3 raised.
        doing: What was attempted, to stand behind "can't": "read s3://bucket/key".
    """
    why, fix = _service(error) if isinstance(error, ClientError) else _client(error)
    return AwsRefusedError(what=f"Can't {doing}", why=why, fix=fix)


def _service(error: ClientError) -> tuple[str, str]:
    code, operation = error_code(error), error.operation_name
    message = error.response.get("Error", {}).get("Message", "")
    why = f"{operation}: {code}: {message}"
    if code.startswith("AccessDenied") or code in {"403", "Forbidden", "UnauthorizedOperation"}:
        action = _S3_ACTIONS.get(operation, operation)
        return why, f"allow {action} on it in the policies that apply; {_WHO}"
    if code in _EXPIRED:
        return f"the credentials have expired ({why})", _SIGN_IN
    if code in _UNKNOWN:
        return (
            f"AWS does not know these credentials ({why})",
            f"correct the keys or the profile, and the region they belong to; {_WHO}",
        )
    if code in {"SignatureDoesNotMatch", "IncompleteSignature"}:
        return why, "correct the secret key; if it is right, set this machine's clock"
    if code == "RequestTimeTooSkewed":
        return why, "set this machine's clock"
    if code == "NoSuchBucket":
        return why, "create the bucket, or correct its name in the settings"
    if code in _ELSEWHERE:
        return why, "set AWS_REGION to the bucket's region"
    if code in _THROTTLED:
        return f"AWS asks for fewer calls ({why})", "wait a minute and repeat"
    if code in {"400", "401"}:
        # The answer to a HEAD has no body that could tell more.
        return why, f"credentials may have expired: {_SIGN_IN}"
    return why, f"read the message above; {_WHO}"


def _client(error: BotoCoreError) -> tuple[str, str]:
    why = str(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return why, _NO_CREDENTIALS
    # The errors of `aws login` are known by name: older versions of botocore have none.
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
    return f"{type(error).__name__}: {why}", "read the message above; no call was answered"
