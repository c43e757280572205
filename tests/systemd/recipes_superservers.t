#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Super-servers that are not systemd, as README and the pages have them: inetd, xinetd, stunnel, socat and those that
a user starts; and none at all."""

import re
import sys
import time

sys.dont_write_bytecode = True
import recipes
from documents import commands
from nmtest import diag, equal, ok, until
from recipes import (
    HOME, TOUCH, arrives, background, begin, box, checked, configure, deliver, docs, edit, home_file, notify, one_line, sh,
    touched, type_all,
)


def inetd_configuration(**instead):
    """nmnotify(8)'s, for all that start the handler as root; with other values for some keywords."""
    text = docs.take("man/nmnotify.8", "/run/nmnotify-inetd")
    for keyword, value in instead.items():
        text, count = re.subn(rf"(?m)^({keyword} +).*$", rf"\g<1>{value}", text)
        assert count == 1, keyword
    return text


def readme_inetd():
    begin()
    configuration = "from    192.0.2.25 127.0.0.1\nuser    alice\naction  /usr/bin/mbsync -q -a\n"
    configure(configuration + docs.take("README.md", "/run/nmnotify-inetd"))
    box.write("/etc/inetd.conf", docs.take("README.md", "finger stream tcp nowait"))
    sh("systemctl unmask inetd; systemctl daemon-reload; systemctl start inetd")
    type_all(docs.take("README.md", "sudo systemctl reload inetd"))
    deliver("mbsync", "by inetd")
    until(lambda: sh("exec 3<>/dev/tcp/127.0.0.1/79", check=False) == "")
    type_all(docs.take("README.md", "nc -w 2 client.example.org 79"), check=False)
    arrives("Mail/mbsync/new/*", "by inetd", "README: inetd, and the other side's line, fetch mail")
    deliver("mbsync", "by nmnotify-send")
    type_all(docs.take("README.md", "nmnotify-send -e client"))
    arrives("Mail/mbsync/new/*", "by nmnotify-send", "README: inetd, and nmnotify-send's line, fetch mail")
    # The same in the page, and then nmnotifyd(8)'s for wait.
    equal(docs.take("man/nmnotify.8", "finger stream tcp nowait").split()[:5],
          "finger stream tcp nowait.2147483647 root".split(), "nmnotify(8): the same entry")
    configure(inetd_configuration().replace("192.0.2.25", "192.0.2.25 127.0.0.1"))
    deliver("mbsync", "by inetd, the page")
    time.sleep(10)  # the interval
    sh("printf 'nm_notifyuser\\r\\n' | nc -w 2 127.0.0.1 79", check=False)
    arrives("Mail/mbsync/new/*", "by inetd, the page", "nmnotify(8): its configuration for inetd fetches mail")
    inetd_waits()
    sh("systemctl stop inetd; systemctl mask --quiet inetd")


def inetd_waits():
    """nmnotifyd(8): TCP and UDP, by one service for each."""
    page = "man/nmnotifyd.8"
    sh("systemctl stop inetd")
    begin()
    # What inetd has started outlives it, until it is idle.
    configure("from 127.0.0.1\nidle 1s\ninterval 1s\nwrite default /home/nmnotify\naction /usr/bin/touch /home/nmnotify/touched\n")
    sh("install -d -o nmnotify /home/nmnotify")
    box.write("/etc/inetd.conf", docs.take("man/nmnotifyd.8", "wait.2147483647"))
    after = time.time()
    sh("systemctl start inetd; sleep 0.5")
    for kind, more in (("TCP", ""), ("UDP", "-u")):
        sh("rm -f /home/nmnotify/touched; sleep 1.1")
        notify(more=more)
        ok(until(lambda: (box.root / "home/nmnotify/touched").exists()), f"{page}: inetd hands over {kind}")
    gone = lambda: not sh("pgrep -x nmnotifyd", check=False)
    ok(until(gone), f"{page}: and each ends when it is idle")
    # inetd is a service that tells systemd how it is; what it starts is not asked.
    noise = [r["MESSAGE"] for r in box.journal(after=after) if "notification message" in str(r.get("MESSAGE"))]
    equal(noise, [], f"{page}: systemd is told nothing in inetd's name")
    configure("from nobody\n")
    after = time.time()
    notify()
    errors = lambda: box.journal("NMNOTIFY_VERDICT=error", after=after)
    ok(until(errors), f"{page}: a wrong configuration is in the log")
    time.sleep(3)
    equal(len(errors()), 1, f"{page}: and does not make a loop of processes")
    sh("systemctl stop inetd; pkill -x nmnotifyd", check=False)
    until(gone)


def pages_try():
    page = "man/nmnotify.8"
    home_file("try.conf", docs.take("man/nmnotify.8", "nmnotify-try\nlog     stderr"))
    sh(f"chown alice: {HOME}/try.conf; rm -rf /tmp/nmnotify-try")
    check, first = commands(docs.take("man/nmnotify.8", "nmnotify -t -f try.conf"), "$")
    sh("rm -f /etc/nmnotify.conf")  # some of it needs no file at all
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    equal(checked(f"{path} {check}", user="alice"), [], f"{page}: typed: {check}")
    send = commands(docs.take("man/nmnotify.8", "> /dev/tcp/127.0.0.1/7979"), "$")[0]
    others = commands(docs.take("man/nmnotify.8", "tcpsvd"), "$")
    alone = commands(docs.take("man/nmnotify.8", "-o 'state /tmp/nmnotify-try'"), "$")
    daemon = commands(docs.take("man/nmnotifyd.8", "systemd-socket-activate -l"), "$")
    for number, command in enumerate([first, *others, *alone, *daemon]):
        box.write(f"/etc/try{number}", f"cd\n{path} exec {command}\n")
        unit = f"try{number}"
        sh(f"systemd-run --quiet --unit={unit} --uid=alice -p WorkingDirectory={HOME} bash /etc/{unit}")
        listening = lambda: "7979" in sh("ss -Hltn 'sport = :7979'")
        until(listening)
        sh("sleep 0.3; " + send, user="alice")
        wanted = "You have mail." if command in alone else "127.0.0.1"
        # On standard error, as the configuration says.
        said = lambda: sh(f"journalctl -q -o cat -u {unit}.service")
        good = until(lambda: "verdict=accepted" in said() and "run=ended" in said() and wanted in said())
        if not ok(good, f"{page}: typed: {command.split()[0]} ... {command.split()[-1]}"):
            diag(said())
        sh(f"systemctl stop {unit}; sleep 0.1")
        until(lambda: not listening())
        sh("rm -rf /tmp/nmnotify-try")  # or the next one is within the interval


def pages_xinetd():
    """Its program is unpacked beside inetd's; the rest is where the package has it."""
    page = "man/nmnotify.8"
    begin()
    configure(inetd_configuration(action=TOUCH))
    box.write("/etc/xinetd.d/nmnotify", docs.take("man/nmnotify.8", "service finger"))
    with background("xinetd", "/opt/xinetd/usr/sbin/xinetd -dontfork -f /opt/xinetd/etc/xinetd.conf"):
        ok(touched(lambda: notify("192.0.2.25")), f"{page}: xinetd, with its entry")


def pages_stunnel():
    """Both sides, with certificates as the page says, and a sender who has none."""
    page = "man/nmnotify.8"
    begin()
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2"
    sh(f"""mkdir -p /etc/stunnel /root/server && cd /root/server
{make} -subj /CN=ca -keyout ca.key -out /etc/stunnel/servers-ca.pem
{make} -subj /CN=client.example.org -keyout client.key -out client.crt
cat client.key client.crt >/etc/stunnel/client.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr
openssl x509 -req -days 2 -in server.csr -CA /etc/stunnel/servers-ca.pem -CAkey ca.key -CAcreateserial -out server.crt
cat server.key server.crt >server.pem""")
    box.write("/etc/stunnel/nmnotify.conf", "foreground = yes\n" + docs.take("man/nmnotify.8", "accept      = 7980"))
    box.write("/etc/nmnotify-tls.conf", inetd_configuration(**{"from": "127.0.0.1", "action": TOUCH}))
    command = commands(docs.take("man/nmnotify.8", "openssl s_client"), "$")[0]
    send = lambda words: sh(f"cd /root/server && {words}", check=False)
    with background("stunnel", "stunnel4 /etc/stunnel/nmnotify.conf"):
        until(lambda: "7980" in sh("ss -Hltn 'sport = :7980'"))
        without = command.replace("-cert server.pem", "")
        ok(not touched(lambda: send(without), 2), f"{page}: stunnel lets nobody in who has no certificate")
        ok(touched(lambda: send(command)), f"{page}: stunnel, typed: {one_line(command)}")


def pages_udp():
    """Without nmnotifyd: socat, as root; for both families."""
    page = "man/nmnotify.8"
    for command, address in zip(commands(docs.take("man/nmnotify.8", "UDP4-RECVFROM"), "#"), ("127.0.0.1", "::1")):
        begin()
        configure(inetd_configuration(**{"from": address, "action": TOUCH}))
        with background("socat", command):
            good = touched(lambda: notify(address, address, "-u"))
            ok(good, f"{page}: typed: {one_line(command)}") or diag(sh("journalctl -q -n 6 -o cat"))


def pages_by_hand():
    """What stands in running text: without a super-server, an action that looks first, a unit of one's own."""
    begin()
    page = "man/nmnotify.8"
    configure(inetd_configuration(**{"from": "local", "action": TOUCH}))
    box.write("/etc/line.txt", "nm_notifyuser\r\n")
    command = docs.take("man/nmnotify.8", "nmnotify < line.txt").strip()
    ok(touched(lambda: sh(f"cd /etc; {command}")), f"{page}: typed: {command}")
    asks = docs.take("man/nmnotify.8", "timeout 3 bash").strip().replace("imap.example.org/993", "127.0.0.1/143")
    configure("from 127.0.0.1\naction /bin/sh -c \"" + asks.replace('"', '\\"') + "; touch /home/alice/touched\"\n")
    edit("systemctl edit nmnotify@.service", "[Service]\nUser=alice\n")
    sh("systemctl start nmnotify.socket")
    ok(touched(notify), f"{page}: an action that asks first: {asks}")
    docs.shown("man/nmnotify.8", "ping -c1", why="what does nothing")
    docs.shown("man/nmnotify.8", "Accept=yes", why="a name for what nmnotify.socket has")
    docs.shown("man/nmnotify.8", "User=alice\n", why="what is typed in its set-up for systemd")
    docs.shown("man/nmnotify.8", "systemctl --user", why="a name")
    own_unit(docs.take("man/nmnotify.8", "StandardInput=socket"))


def own_unit(setting):
    """Accept=yes, and what one's own service must have."""
    begin()
    configure(inetd_configuration(**{"from": "127.0.0.1", "action": TOUCH}))
    box.write("/etc/systemd/system/own.socket", "[Socket]\nListenStream=79\nAccept=yes\n")
    service = "[Service]\nExecStart=/usr/local/sbin/nmnotify\n"
    for text, works in ((service, False), (service + setting, True)):
        box.write("/etc/systemd/system/own@.service", text)
        sh("systemctl daemon-reload; systemctl restart own.socket")
        equal(bool(touched(notify, 10 if works else 2)), works, f"nmnotify(8): an own unit {'with' if works else 'without'} {setting.strip()}")
    sh("systemctl stop own.socket; rm /etc/systemd/system/own*; systemctl daemon-reload; systemctl reset-failed")


recipes.run(readme_inetd, pages_try, pages_xinetd, pages_stunnel, pages_udp, pages_by_hand)
