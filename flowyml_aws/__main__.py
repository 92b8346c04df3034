"""`python -m flowyml_aws` is the command `flowyml-aws`."""

from __future__ import annotations

from flowyml_aws.cli import main

if __name__ == "__main__":
    main()
