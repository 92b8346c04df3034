"""TLS errors of servers whose certificate authority is not trusted."""

from __future__ import annotations

import re

__all__ = ["UNTRUSTED_FIX", "is_untrusted"]

UNTRUSTED_FIX = (
    "if your company has its own certificate authority (proxies that inspect TLS, an index of its "
    "own), set `ca_certificates` to a file with its certificates, and run `flowyml-aws image push`"
)
"""Advice for errors in images and jobs."""

# Messages of pip and Python (OpenSSL), uv (rustls), curl and apt.
_UNTRUSTED = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer|"
    r"unable to get local issuer certificate|self[- ]signed certificate|"
    r"certificate verif(?:y|ication) failed",
    re.IGNORECASE,
)


def is_untrusted(output: str) -> bool:
    """Return whether a program's output reports a certificate that it does not trust."""
    return _UNTRUSTED.search(output) is not None
