#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What a container does not have: Debian 13 on a kernel of its own, in qemu, Debian 12's, with control groups v2 and
BPF, booted without user namespaces and with a socket whose address comes later. The whole system is an
initramfs; a service in it does what README and the pages say, and writes results to the serial line.
Nothing of it is on a network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import container
import guest
import nmtest
from documents import Documents, commands
from guest import RELEASE
from nmtest import BUILD, PROJECT, diag, ok

KERNEL = "bookworm"
# Of the tree: fetchers and what belongs to them is for the container.
LEFT_OUT = re.compile(
    r"usr/(share/(doc|man|locale|info|perl|perl5|i18n|zoneinfo|dovecot|offlineimap3)|lib/(python3|dovecot|apt|locale)|"
    r"lib/x86_64-linux-gnu/(perl|gconv|libicu|libpython)|sbin/dovecot|bin/(perl|python)|include)|"
    r"var/(cache|lib/(apt|dpkg))|boot|opt/|tmp/|proc/|sys/|dev/|run/"
)
SILENT, WATCH_SECONDS = 200, 16
# In its place what says that somebody has logged in.
DOVECOT = """\
[Service]
Type=oneshot
SyslogIdentifier=dovecot
ExecStart=/bin/echo 'imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.99, lip=192.0.2.25, mpid=1, TLS, session=<x>'
"""


# ---- What happens in there ----

SCRIPT = r"""#!/bin/bash
say() { echo "GUEST $*" >/dev/ttyS0; }
check() { if eval "$2"; then say "ok $1"; else say "not ok $1"; journalctl -q -n 6 -o cat >/dev/ttyS0; fi; }
line() { printf 'nm_notifyuser\r\n' 2>/dev/null >/dev/tcp/127.0.0.1/${1:-79}; }
# Two minutes and more: the machine is emulated, and may have other work beside it.
await() { for i in $(seq 1200); do eval "$1" && return 0; sleep 0.1; done; return 1; }
wait_for() { await "[ -e $1 ]"; }
accepted() { systemctl show --value -p NAccepted nmnotify.socket; }
busy() { set -- $(cut -d')' -f2- /proc/1/stat); echo $((${12} + ${13})); }
hold() { timeout -k 1 @SECONDS@ /usr/local/bin/load hold 127.0.0.1 79 20 $1 $1 30000 >/dev/null; }

check "control groups are v2" '[ -e /sys/fs/cgroup/cgroup.controllers ]'
systemd-sysusers
useradd --create-home --shell /bin/bash alice
chown -R alice: /home/alice
systemctl daemon-reload

# The kernel gives out no user namespaces, from its boot on: all below works without.
check "there are no user namespaces" '[ $(cat /proc/sys/user/max_user_namespaces) = 0 ] && ! unshare --user true 2>/dev/null'

# nmnotifyd(8)'s socket on one address alone, enabled before the boot; the address comes only now.
check "nmnotifyd(8): at boot the socket waits for its address" 'systemctl is-active -q nmnotifyd.socket && ! ip address | grep -q @ADDRESS@'
ip address add @ADDRESS@/32 dev lo
late() { printf 'nm_notifyuser\r\n' | nc -w 2 -s 127.0.0.1 @ADDRESS@ 79; }
late
check "nmnotifyd(8): and hears it, when it has come" 'wait_for /home/alice/touched'

# nmnotify-units(7), DIAGNOSTICS: what a drop-in makes of no user namespaces, and what mends it.
drop_in=/etc/systemd/system/nmnotifyd.service.d/users.conf
failed() { await '[ "$(systemctl show --value -p ExecMainStatus nmnotifyd.service)" = 217 ]'; }
printf '[Service]\n%s\n' '@PRIVATE@' >$drop_in
systemctl stop nmnotifyd.service; systemctl daemon-reload; systemctl start nmnotifyd.socket
rm -f /home/alice/touched
late
check "nmnotify-units(7): @PRIVATE@ is status=217/USER" failed
printf '[Service]\n%s\n' '@PUBLIC@' >$drop_in
systemctl daemon-reload; systemctl restart nmnotifyd.socket
late
check "nmnotify-units(7): @PUBLIC@ mends it" 'wait_for /home/alice/touched'
systemctl stop nmnotifyd.socket
rm -f $drop_in /etc/systemd/system/nmnotifyd.socket.d/address.conf /home/alice/touched
systemctl daemon-reload

# README's first set-up, with its drop-ins.
systemctl start nmnotify.socket
line
check "README: the first set-up works with its firewall" 'wait_for /home/alice/touched'
before=$(accepted); used=$(busy)
hold @SILENT@
check "README: of @SILENT@ silent connections of strangers systemd sees none" '[ $(accepted) = $before ]'
say "# first process: $(($(busy) - used)) ticks of a hundredth of a second, in @SECONDS@ s of silent strangers"
rm -f /home/alice/touched
line
check "README: after that a line works" 'wait_for /home/alice/touched'

# The same for the other pair.
systemctl start nmnotifyd.socket
sleep 1.2; rm -f /home/alice/touched
line
check "README: nmnotifyd.socket works with its firewall" 'wait_for /home/alice/touched'
timeout 2 /usr/local/bin/load rate 127.0.0.1 79 20 10 20 1500 >/dev/null 2>&1
check "README: and hears no stranger" '! journalctl -q -t nmnotifyd | grep -q denied'
systemctl stop nmnotifyd.socket

# Without: so the checks above can fail.
rm /etc/systemd/system/nmnotify.socket.d/override.conf
systemctl daemon-reload
systemctl start nmnotify.socket
before=$(accepted); used=$(busy)
hold 40
check "without the firewall systemd starts units for silent strangers" 'await "[ \$(accepted) -gt $((before + 4)) ]"'
say "# first process: $(($(busy) - used)) ticks for $(($(accepted) - before)) silent connections"
systemctl stop nmnotify.socket

# The relay's unit without user namespaces, and with hostile code in the relay's place: the container has no BPF for
# IPAddressDeny=.
systemctl start nmnotify.socket
install -d -m 777 /var/lib/outside; echo secret >/var/lib/outside/file
systemctl start nmnotify-relay.service
check "nmnotify-relay.service: without user namespaces it is status=217/USER" \
	'[ "$(systemctl show --value -p ExecMainStatus nmnotify-relay.service)" = 217 ]'
printf '%s\n' '@RELAY_PUBLIC@' >/etc/systemd/system/nmnotify-relay.service.d/users.conf
systemctl daemon-reload; systemctl start nmnotify-relay.service
journalctl --sync # what a unit has said last may come after its end
journalctl -q -o cat -t nmnotify-relay >/tmp/taken
check "nmnotify-relay.service: a relay that is taken over sends to no group, and executes no file of its own" \
	'grep -q "^tried" /tmp/taken && ! grep -E "^(through|refused)" /tmp/taken >/dev/ttyS0'
systemctl stop nmnotify.socket nmnotify-relay.socket

# User instances, which the container has on Debian 12 alone.
loginctl enable-linger alice
wait_for /run/user/1000/systemd/private
rm -f /home/alice/touched
runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 @ENABLE@
line 7979
check "nmnotify-units(7): the user's own units work" 'wait_for /home/alice/touched'

# packaging/apparmor, enforced from here on: the tunnel is under it, too.
for profile in /usr/local/lib/apparmor/*; do cat $profile >/sys/kernel/security/apparmor/.replace; done
check "AppArmor: profiles are enforced" '[ $(grep -c "^nmnotify.*(enforce)" /sys/kernel/security/apparmor/profiles) = 5 ]'
cat >/usr/local/bin/tries <<'END'
#!/bin/bash
cat /proc/self/attr/current >~/profile
mkdir -p ~/.ssh
for file in .ssh/authorized_keys .profile .config/systemd/x; do { echo tried >>~/$file; } 2>/dev/null && touch ~/through; done
touch ~/touched
END
chmod 755 /usr/local/bin/tries
mkdir -p /home/alice/.config/systemd; chown -R alice: /home/alice/.config
cp /etc/nmnotify.conf /tmp/nmnotify.conf
sed -i 's,^action.*,action /usr/local/bin/tries,' /etc/nmnotify.conf
systemctl stop nmnotifyd.socket nmnotifyd.service
denied() { dmesg | grep -q "apparmor=.DENIED.*profile=.$1.*/home/alice/.profile"; }
for pair in nmnotify nmnotifyd; do
	rm -f /home/alice/{touched,profile,through}
	systemctl start $pair.socket
	line
	check "AppArmor: $pair: a line starts the action, in its profile" 'wait_for /home/alice/touched && grep -qx "$pair (enforce)" /home/alice/profile'
	check "AppArmor: $pair: which cannot leave a key, a command or a unit, and the kernel says so" '! [ -e /home/alice/through ] && denied $pair'
	systemctl stop $pair.socket; sleep 1.2
done
cp /tmp/nmnotify.conf /etc/nmnotify.conf

# nmnotify-tunnel(7): WireGuard, between this machine, which is the mail server, and a network namespace.
systemctl stop nmnotifyd.socket nmnotifyd.service nmnotify-relay.socket nmnotify-relay.service
rm -f /etc/systemd/system/nmnotify-relay.service.d/taken.conf /etc/systemd/system/nmnotifyd.s*.d/override.conf
mv /usr/local/sbin/nmnotify-relay.real /usr/local/sbin/nmnotify-relay
for module in /usr/local/lib/modules/*; do insmod $module; done
ip link add mx type veth peer name lap
ip address add 192.0.2.25/24 dev mx; ip link set mx up
ip netns add laptop; ip link set lap netns laptop
ip -n laptop address add 192.0.2.79/24 dev lap; ip -n laptop link set lap up; ip -n laptop link set lo up
for unit in nmnotifyd.socket nmnotifyd.service wg-quick@wg-mail.service; do
	mkdir -p /etc/systemd/system/$unit.d
	printf '[Service]\nNetworkNamespacePath=/run/netns/laptop\n' >/etc/systemd/system/$unit.d/laptop.conf
done
sed -i 's/Service/Socket/' /etc/systemd/system/nmnotifyd.socket.d/laptop.conf
printf '[Service]\nUser=alice\n' >/etc/systemd/system/nmnotifyd.service.d/alice.conf
echo '192.0.2.25 mail.example.org' >>/etc/hosts
printf 'interval 200ms\n' >/etc/nmnotify-relay.conf
systemctl daemon-reload
systemctl start nmnotify-relay.socket
for file in /usr/local/lib/typed/*; do
	bash -e $file >/dev/ttyS0 2>&1; status=$?
	check "nmnotify-tunnel(7): typed: $(head -n 1 $file)" "[ $status = 0 ]"
done
await "ip netns exec laptop wg show wg-mail latest-handshakes | grep -qv $'\t0$'"
announce() { rm -f /home/alice/touched; nmnotify-send -e -u alice; }
failures() { journalctl --sync; journalctl -q -o cat -t nmnotify-relay | grep -c told=failed; }
fails() { await "[ \$(failures) -gt $1 ]"; }
told() { journalctl --sync; journalctl -q -o cat -t nmnotify-relay | grep -q "$1"; }
announce
check "nmnotify-tunnel(7): a line comes through WireGuard" 'wait_for /home/alice/touched && told "told=done user=alice to=10.79.0.2:79"'
# All that has come this far has come through them.
in_profile() { grep -qx "$1 (enforce)" /proc/$(systemctl show --value -p MainPID $1.service)/attr/current; }
check "AppArmor: the relay and its proxy are in their profiles" 'in_profile nmnotify-relay && in_profile nmnotify-relay-proxy'
systemctl start nmnotify-relay-logs.service
check "nmnotify-relay-logs(8): without user namespaces it is status=217/USER" \
	'[ "$(systemctl show --value -p ExecMainStatus nmnotify-relay-logs.service)" = 217 ]'
mkdir -p /etc/systemd/system/nmnotify-relay-logs.service.d
printf '%s\n' '@LOGS_PUBLIC@' >/etc/systemd/system/nmnotify-relay-logs.service.d/users.conf
systemctl daemon-reload; systemctl restart nmnotify-relay-logs.service
systemctl start dovecot.service
handed() { await 'systemctl show -p StatusText nmnotify-relay-logs.service | grep -q "=1 logins handed over"'; }
check "AppArmor: so is nmnotify-relay-logs, and hands a login over" 'handed && in_profile nmnotify-relay-logs'
check "AppArmor: none of them wanted more" '! dmesg | grep "apparmor=.DENIED.*profile=.nmnotify-relay" >/dev/ttyS0'
systemctl stop nmnotify-relay-logs.service
check "nmnotify-tunnel(7): and by no other way" '! timeout 2 bash -c "</dev/tcp/192.0.2.79/79" 2>/dev/null'
# Its address in the network is another one, as that of a router's, and the server knows only the old one.
ip link set mx down
announce
check "nmnotify-tunnel(7): a laptop that is away is owed its line" 'fails 0 && ! [ -e /home/alice/touched ]'
ip -n laptop address del 192.0.2.79/24 dev lap; ip -n laptop address add 192.0.2.80/24 dev lap
ip link set mx up
check "nmnotify-tunnel(7): and gets it, wherever it comes back" 'wait_for /home/alice/touched'
# Who has another key is not heard.
ip netns exec laptop bash -c 'wg set wg-mail private-key <(wg genkey)'
before=$(failures)
announce
check "nmnotify-tunnel(7): another key gets nothing" 'fails $before && ! [ -e /home/alice/touched ]'

# SECURITY.md's hardened hosts: what can only be said of a whole machine. The laptop's part is over.
systemctl stop nmnotifyd.socket nmnotifyd.service nmnotify-relay.socket nmnotify-relay.service
rm -f /etc/systemd/system/nmnotifyd.{socket,service}.d/laptop.conf /etc/systemd/system/nmnotifyd.socket.d/tunnel.conf
systemctl daemon-reload
cp /tmp/nmnotify.conf /etc/nmnotify.conf
printf 'user alice 127.0.0.1\n' >/etc/nmnotify-relay.conf
sysctl -q @SYSCTLS@
echo integrity >/sys/kernel/security/lockdown
check "hardened: the kernel is" 'grep -q "\[integrity\]" /sys/kernel/security/lockdown && [ $(cat /proc/sys/kernel/yama/ptrace_scope) = 3 ]'
for pair in nmnotify nmnotifyd; do
	rm -f /home/alice/touched
	systemctl start $pair.socket
	line
	check "hardened: $pair: a line starts the action" 'wait_for /home/alice/touched'
	systemctl stop $pair.socket; sleep 1.2
done
systemctl start nmnotify.socket nmnotify-relay.socket
announce
check "hardened: nmnotify-relay: what is announced comes" 'wait_for /home/alice/touched'
say "end"
systemctl poweroff --force --force
"""


def tunnel(root):
    """The blocks of nmnotify-tunnel(7) that take this kernel, each a file, in the page's order; and what they need."""
    page = Documents(("man/nmnotify-tunnel.7",))
    page.each("man/nmnotify-tunnel.7", "wg genkey >mail.key", "wg genkey >laptop.key", "wg-laptops.conf <<END", "wg-mail.conf <<END",
              "from    10.79.0.1")
    typed = root / "usr/local/lib/typed"
    typed.mkdir(parents=True)
    parts = [part for _, part in page.taken]
    blocks = [block for block in page.blocks["man/nmnotify-tunnel.7"] if any(part in block for part in parts)]
    for number, block in enumerate(blocks):
        # The action is not what this is about. What runs on the laptop are units, which know their namespace.
        block = block.replace("/usr/bin/mbsync -q -a", "/usr/bin/touch /home/alice/touched")
        (typed / f"{number}").write_text("".join(f"{command}\n" for command in commands(block, block.split()[0])))
    tools = guest.KEPT / KERNEL / "tools"
    (root / "usr/bin").mkdir()
    for tool in ("usr/bin/wg", "usr/bin/wg-quick"):
        shutil.copy(tools / tool, root / "usr/bin")
    shutil.copy(tools / "lib/systemd/system/wg-quick@.service", root / "etc/systemd/system")
    (root / "etc/wireguard").mkdir(mode=0o700)


def apparmor(root):
    """The profiles, as the kernel takes them."""
    profiles, made = PROJECT / "packaging/apparmor", root / "usr/local/lib/apparmor"
    made.mkdir(parents=True)
    for profile in (path for path in profiles.iterdir() if path.is_file()):
        words = ["apparmor_parser", "-Q", "-K", "-I", profiles, "-I", "/etc/apparmor.d", "-o", made / profile.name, profile]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)


def own_files(root):
    """What is installed, and what README says."""
    docs = Documents()
    # The socket's two lines: the ones of README, as they stand there.
    firewall = docs.take("README.md", "IPAddressDeny=any")
    enable = docs.take("man/nmnotify-units.7", "--user enable --now").splitlines()[0].lstrip("$ ")
    text = SCRIPT.replace("@SILENT@", str(SILENT)).replace("@SECONDS@", str(WATCH_SECONDS)).replace("@ENABLE@", enable)
    address = docs.take("man/nmnotifyd.8", "192.0.2.7:79")
    private, public = docs.take("man/nmnotify-units.7", "PrivateUsers=yes"), docs.take("man/nmnotify-units.7", "PrivateUsers=no")
    text = text.replace("@ADDRESS@", re.search(r"([\d.]+):79", address)[1])
    text = text.replace("@PRIVATE@", private.strip()).replace("@PUBLIC@", public.strip())
    text = text.replace("@RELAY_PUBLIC@", docs.take("man/nmnotify-relay.8", "PrivateUsers=no").strip())
    text = text.replace("@LOGS_PUBLIC@", docs.take("man/nmnotify-relay-logs.8", "PrivateUsers=no").strip())
    hardened = next(line for line in (PROJECT / "src/SECURITY.md").read_text().splitlines() if "ptrace_scope" in line)
    text = text.replace("@SYSCTLS@", " ".join(re.findall(r"`([a-z_.]+=\d)`", hardened)))
    user = docs.take("README.md", "[Service]\nUser=alice")
    files = {
        "usr/local/bin/guest": text,
        "etc/nmnotify.conf": "from 127.0.0.1\nuser alice\ninterval 1s\nlimit 1000/s burst 1000\naction /usr/bin/touch /home/alice/touched\n",
        "home/alice/.config/nmnotify.conf": "from any\ninterval 1s\nlimit 1000/s burst 1000\naction /usr/bin/touch /home/alice/touched\n",
        "etc/systemd/system/nmnotify@.service.d/override.conf": user,
        "etc/systemd/system/nmnotifyd.service.d/override.conf": user,
        "etc/systemd/system/nmnotify.socket.d/override.conf": firewall,
        "etc/systemd/system/nmnotifyd.socket.d/override.conf": firewall,
        "etc/nmnotify-relay.conf": "user alice 127.0.0.1\n",
        "etc/systemd/system/nmnotify-relay.service.d/taken.conf": container.taken_over("/var/lib/outside", True),
        "etc/systemd/system/nmnotifyd.socket.d/address.conf": address,
        "etc/systemd/system/dovecot.service": DOVECOT,
        "etc/sysctl.d/namespaces.conf": "user.max_user_namespaces = 0\n",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
    (root / "usr/local/bin/guest").chmod(0o755)
    shutil.copy(BUILD / "tests" / "load", root / "usr/local/bin/load")
    shutil.copy(container.relay(RELEASE), root / "usr/local/sbin/nmnotify-relay.real")
    tunnel(root)
    apparmor(root)
    shutil.copy(container.relay(RELEASE, "tests/relay_taken"), root / "usr/local/sbin/nmnotify-relay")
    sockets = root / "etc/systemd/system/sockets.target.wants"
    sockets.mkdir()
    (sockets / "nmnotifyd.socket").symlink_to("/usr/lib/systemd/system/nmnotifyd.socket")


def machine():
    with guest.Guest("base", LEFT_OUT, KERNEL) as place:
        own_files(place.root)
        place.add_modules()
        report(*place.run(memory=2048))


def report(text, seconds):
    lines = re.findall(r"GUEST (.*?)\r?\n", text)
    for line in lines:
        if line.startswith("# "):
            diag(line[2:])
        elif line != "end":
            ok(line.startswith("ok "), re.sub("^(not )?ok ", "", line))
    if not ok(lines[-1:] == ["end"], "the guest came to its end"):
        diag(text[-1500:])
    diag(f"the guest took {seconds:.0f} s")


if __name__ == "__main__":
    guest.require(KERNEL)
    nmtest.run(machine)
