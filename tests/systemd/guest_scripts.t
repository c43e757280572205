#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Tests of confinement, of attackers, and of the units, on a kernel of their own, whatever this machine's is: Debian's,
with Yama, Landlock, programs of 32 bits, control groups v2 and BPF, and systemd as a whole Debian 13 has it (guest.py).
With LONG=1 all of them; without, those parts for which the kernel matters most: all is emulated, and takes ten times as
long.

    guest_scripts.t integration/reach.t     that one alone"""

import os
import re
import shutil
import sys

sys.dont_write_bytecode = True
import container
import guest
import nmtest
import scripts
from nmtest import BUILD, diag

LONG = bool(os.environ.get("LONG"))
CHOSEN = sys.argv[1:]
# Of the tree: what no test in there needs.
LEFT_OUT = re.compile(
    r"usr/(share/(doc|man|locale|info|perl|perl5|i18n|zoneinfo|dovecot|offlineimap3)|lib/(python3/|dovecot|apt|locale|gcc)|"
    r"lib/x86_64-linux-gnu/(perl|gconv|libicu|libLLVM|.*\.a$)|libexec/(gcc|dovecot)|sbin/dovecot|bin/perl|include)|"
    r"var/(cache|lib/(apt|dpkg))|boot|opt/|tmp/|proc/|sys/|dev/|run/"
)
# Of one of them.
MOST_SECONDS = 1200
BRIEF = """\
integration/confine.t
integration/reach.t
integration/policies.t filters_can_be_loaded
integration/attack_local.t
systemd/services.t trixie-nmnotify line_runs
systemd/services_users.t trixie-nmnotifyd user_instance
"""
# services_start.t ends what users have running, and so is the last one.
ALL = """\
integration/confine.t
integration/reach.t
integration/policies.t
integration/policy_calls.t
integration/attack_local.t
integration/attack_port.t
integration/attack_action.t
integration/hardened.t
integration/kernels.t
systemd/services.t trixie-nmnotify
systemd/services.t trixie-nmnotifyd
systemd/services_users.t trixie-nmnotify
systemd/services_users.t trixie-nmnotifyd
systemd/services_sockets.t trixie-nmnotify
systemd/services_sockets.t trixie-nmnotifyd
systemd/services_nmnotifyd.t trixie-nmnotifyd
systemd/services_start.t trixie-nmnotify
"""
PARTS = scripts.chosen(ALL if LONG or CHOSEN else BRIEF, CHOSEN)

SCRIPT = r"""#!/bin/bash
for module in /usr/local/lib/modules/*; do insmod $module; done
ip link set lo up
systemd-sysusers
cd /@PLACE@ || exit 1
export NMNOTIFY_TEST_MACHINE=1 NMNOTIFY_TEST_SLOW=5 BUILD=/@PLACE@/build TIMES=1
printf '#!/bin/sh\netc=$(mktemp -d) && cp -a /etc/. "$etc" && chmod 755 "$etc" && mount --bind "$etc" /etc && exec "$@"\n' >own_etc
chmod 755 own_etc
# one NUMBER SCRIPT PART...
one() {
	number=$1 out=$(mktemp)
	shift
	# A test ends what is left of it with its process number space, and mounts over what is in /etc; the units' tests
	# look at all processes, and add users.
	alone=
	case $1 in integration/*) alone='unshare --pid --fork --kill-child --mount-proc ./own_etc' ;; esac
	timeout @SECONDS@ $alone python3 tests/$* >$out 2>&1 </dev/null
	echo "ended $?" >>$out
	# To the next one this machine is new.
	[ -n "$alone" ] || { loginctl disable-linger alice; loginctl terminate-user alice; userdel -rf alice; } >/dev/null 2>&1
	flock /run/said sed "s,^,GUEST $number ," $out >/dev/ttyS0
}
# The units are the machine's own: of those tests there is one at a time.
lane() { grep "^[0-9]* $1" parts | while read -r part; do one $part; done; }
lane integration & lane systemd & wait
echo 'GUEST end' >/dev/ttyS0
systemctl poweroff --force --force
"""


def in_the_guest():
    with guest.Guest("python", LEFT_OUT, guest.RELEASE) as place:
        scripts.put(place.root, BUILD, PARTS)
        for program in ("nmnotify-relay", "nmnotify-relay-logs"):
            for folder in (f"{scripts.PLACE}/build", "usr/local/sbin"):
                shutil.copy(container.relay(guest.RELEASE, program), place.root / folder / program)
        place.add_modules()
        program = place.root / "usr/local/bin/guest"
        program.write_text(SCRIPT.replace("@PLACE@", scripts.PLACE).replace("@SECONDS@", str(MOST_SECONDS)))
        program.chmod(0o755)
        text, seconds = place.run(memory=3072, seconds=3 * MOST_SECONDS if LONG else guest.SECONDS)
    scripts.report(text, PARTS, "the guest")
    diag(f"the guest took {seconds:.0f} s")


if __name__ == "__main__":
    guest.require(guest.RELEASE)
    del sys.argv[1:]
    nmtest.run(in_the_guest)
