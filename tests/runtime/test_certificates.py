"""Errors of programs that do not trust a server's certificate."""

from __future__ import annotations

import pytest

from flowyml_aws.runtime.certificates import is_untrusted


@pytest.mark.parametrize(
    "output",
    [
        # pip 24 and 25, uv, curl, apt
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
        "failed: unable to get local issuer certificate (_ssl.c:1000)'))",
        "  Caused by: invalid peer certificate: UnknownIssuer",
        "curl: (60) SSL certificate problem: self-signed certificate in certificate chain",
        "Certificate verification failed: The certificate is NOT trusted.",
    ],
)
def test_an_unknown_certificate_authority_is_recognized(output: str) -> None:
    assert is_untrusted(f"a line before\n{output}\na line after")


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: No matching distribution found for numpyy",
        "Temporary failure in name resolution",
        "Collecting certifi, Collecting self-signed",
    ],
)
def test_other_errors_are_not_blamed_on_certificates(output: str) -> None:
    assert not is_untrusted(output)
