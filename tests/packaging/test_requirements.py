from __future__ import annotations

import pytest

from flowyml_aws.core.errors import RequirementsError
from flowyml_aws.packaging.requirements import resolve_requirements


@pytest.mark.parametrize(
    "entry",
    [
        "--pre",
        " --pre",
        "\t-r other.txt",
        "--trusted-host\texample.com",
        "numpy\n--trusted-host example.com",
        "numpy\r\n-r other.txt",
        "numpy\x0b--pre",
        "numpy\u2028--pre",
        "numpy --hash=sha256:0",
        "numpy\t--no-binary :all:",
        "numpy \\",
        "--index-url https://example.com --pre",
        "--find-links=wheels\n\n  -e .",
    ],
)
def test_an_option_is_refused_wherever_it_is_in_an_entry(entry: str) -> None:
    with pytest.raises(RequirementsError, match="Option not allowed"):
        resolve_requirements([entry])
