# SPDX-License-Identifier: ISC
"""What the tests of nmnotifyctl share."""

import json
import subprocess

from nmtest import BUILD, PATIENCE

CTL = BUILD / "nmnotifyctl"


def ctl(conf, *args, user=None, env=None):
    """Runs it; its status, and what it said on standard output and standard error."""
    got = subprocess.run(
        [CTL, "-f", conf, *args],
        capture_output=True,
        timeout=PATIENCE,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env={"PATH": "/usr/bin:/bin", **(env or {})},
    )
    return got.returncode, got.stdout.decode("ascii"), got.stderr.decode("ascii")


def status(conf, *args, **how):
    """The document."""
    code, out, err = ctl(conf, "status", "--json", *args, **how)
    assert code == 0, (code, err)
    return json.loads(out)


def account(conf, name="default", **how):
    """Of one account."""
    (found,) = status(conf, name, **how)["listener"]["accounts"]
    return found
