"""The emulator in the foreground, for clients in other terminals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

__all__ = ["serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(
    *,
    print_policy: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
    **options: Any,
) -> None:
    """Serve an emulated account until Ctrl-C, SIGTERM or SIGHUP. Must run on the main thread.

    Args:
        print_policy: Whether to print at the end, as JSON to `out`, the least policy of each role
            for what was run.
        out: Stream for one `export NAME=value` line per setting, in shell syntax; defaults to
            stdout.
        err: Stream for messages to people: when and where it is ready, denied permissions, and its
            end; defaults to stderr.
        **options: Same as in `Emulator`.

    Raises:
        SettingsError: The port is not available, or the image can't run jobs here.
        MissingEngineError: `containers` is set, but no container engine works here.
    """
    out = sys.stdout if out is None else out
    err = sys.stderr if err is None else err
    # Before moto is imported: the import fails for a profile that is not configured.
    os.environ.pop("AWS_PROFILE", None)
    from flowyml_aws.testing import Emulator

    # A pipe, not an Event: setting an Event in a signal handler can deadlock with its waiter.
    readable, writable = os.pipe()

    def request_stop(number: int, frame: FrameType | None) -> None:
        os.write(writable, bytes([number]))

    previous = {number: signal.signal(number, request_stop) for number in _SIGNALS}
    try:
        if options.get("containers") is not None:
            _say(err, f"Trying the image {options['containers']} …")
        with Emulator(**options) as aws:
            aws.guard.on_denial = lambda denial: _say(err, str(denial))
            for name, value in aws.environment.items():
                # The terminal of a client may have another PATH than this one.
                if name == "PATH":
                    setting = f'{shlex.quote(str(aws.programs))}:"$PATH"'
                else:
                    setting = shlex.quote(value)
                print(f"export {name}={setting}", file=out)
            out.flush()
            _say(err, f"Ready at {aws.endpoint_url}, stop with Ctrl-C")
            for line in aws.describe():
                _say(err, f"  {line}")
            (number,) = os.read(readable, 1)
            killed = len(aws.job_processes())
            if print_policy:
                print(json.dumps(aws.guard.least_policies(), indent=2), file=out, flush=True)
        jobs = "1 job was" if killed == 1 else f"{killed or 'no'} jobs were"
        _say(err, f"Stopped by {signal.Signals(number).name}: {jobs} killed")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)


def _say(err: TextIO, line: str) -> None:
    with suppress(OSError):  # after SIGHUP, the terminal no longer exists
        print(line, file=err, flush=True)
