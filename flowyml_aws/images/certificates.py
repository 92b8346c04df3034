"""Certificates of a company's own certificate authority, in an image."""

from __future__ import annotations

import re
from pathlib import Path

from flowyml_aws.core.errors import SettingsError

__all__ = ["read_certificates", "with_variables"]

_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# Programs with certificates of their own: OpenSSL and uv, requests, boto3, pip.
_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT")
_PLACE = "# variables of ca_certificates\n"
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL)


def read_certificates(root: Path, setting: str | None) -> str:
    """Return the certificates of the setting `ca_certificates`; empty if it is not set.

    Args:
        root: Root of the project.
        setting: Path of a file in PEM format, relative to the root.

    Raises:
        SettingsError: The file can't be read, has no certificate, or contains a private key.
    """
    if setting is None:
        return ""
    file = root / Path(setting).expanduser()
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(file, str(error)) from error
    if "PRIVATE KEY-----" in text:
        raise _unusable(file, "it contains a private key, which everyone who pulls the image gets")
    certificates = _CERTIFICATE.findall(text)
    if not certificates:
        raise _unusable(file, "it contains no certificate in PEM format (BEGIN CERTIFICATE)")
    return "".join(f"{certificate}\n" for certificate in certificates)


def with_variables(dockerfile: str) -> str:
    """Return a Dockerfile that sets the variables with which programs use the system's bundle."""
    values = " ".join(f"{name}={_BUNDLE}" for name in _VARIABLES)
    return dockerfile.replace(_PLACE, f"ENV {values}\n")


def _unusable(file: Path, why: str) -> SettingsError:
    return SettingsError(
        what=f"Can't use the certificates in {file}",
        why=why,
        fix="set `ca_certificates` to a file with the certificates of your certificate authority "
        "in PEM format",
    )
