#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""SIGHUP to nmnotifyd: the configuration is read again, whole or not at all, while runs, debts, limits,
connections and sockets go on."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
import nmtest
from front import Manager, Service, is_gone
from nmtest import LINE, Sandbox, equal, is_alive, ok, until
from turn import check_apart

FREE = "limit 1000/s burst 10000\n"


class Managed(Service):
    """With a service manager, which it has told that it serves."""

    def __init__(self, box, conf):
        self.manager = Manager(box)
        super().__init__(box, conf, environment=self.manager.environment)
        if not self.manager.is_told(b"READY=1"):
            raise RuntimeError("it does not serve")

    def __exit__(self, *_):
        super().__exit__()
        self.manager.socket.close()

    def reload(self):
        """Does another network process serve then? From READY=1 on the one before accepts nothing."""
        before = self.network()
        os.kill(self.pid, signal.SIGHUP)
        return self.manager.is_told(b"READY=1") and any(pid != before for pid in self.children())


def folder(box, name):
    out = box.out / name
    out.mkdir()
    if box.user:
        os.chown(out, box.uid, box.gid)
    return out


def rewrite(box, conf, text):
    fresh = box.config(text)
    if fresh != conf:
        os.rename(fresh, conf)


def new_words_hold():
    with Sandbox() as box:
        old, new = folder(box, "old"), folder(box, "new")
        conf = box.config(FREE + f"interval 0s\nfrom 127.0.0.1\naction {box.recorder(out=old)}\n")
        with Managed(box, conf) as service:
            service.send()
            ok(box.wait_starts(1, out=old), "before: the action of the old words")
            rewrite(box, conf, FREE + f"interval 0s\nfrom 127.0.0.2\naction {box.recorder(out=new)}\n")
            ok(service.reload(), "SIGHUP: another network process serves")
            service.send(source="127.0.0.2")
            ok(box.wait_starts(1, out=new), "after: the action and the sources of the new words")
            service.send()
            denied = nmtest.State(box.state_dir / ".denied")
            ok(until(lambda: denied.denied == 1), "after: the old source is denied")
            equal(len(box.runs(old)), 1, "the old action does not run again")
            ok(until(lambda: len(service.children()) == 1), "the old network process has ended")


def mistakes_change_nothing():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nfrom 127.0.0.1\naction {box.recorder()}\n")
        with Service(box, conf) as service:
            network = service.network()
            for count, text in enumerate(("from 127.0.0.1\n", "nonsense\n", f"state /dev/null/x\nfrom any\naction {box.recorder()}\n"), 1):
                rewrite(box, conf, text)
                os.kill(service.pid, signal.SIGHUP)
                told = lambda: sum("was not read again" in line for line in box.messages())
                ok(until(lambda: told() == count, 10), f"mistake {count}: the log says that the old one stays")
                service.send()
                ok(box.wait_starts(count), f"mistake {count}: a line starts the action as before")
                equal(service.network(), network, f"mistake {count}: the network process is the same")
            mistakes = [line for line in box.messages() if "nonsense" in line]
            equal(len(mistakes), 1, "the log says what is wrong, once")
            os.unlink(conf)
            os.kill(service.pid, signal.SIGHUP)
            ok(until(lambda: told() == 4, 10), "no file: likewise")


def runs_and_limits_go_on():
    with Sandbox() as box:
        text = f"from any\nlimit 1000/s burst 1000\ninterval 2s\naction {box.recorder('until=go')}\n"
        conf = box.config(text)
        with Managed(box, conf) as service:
            service.send()
            ok(box.wait_starts(1), "a run is going on")
            ok(service.reload(), "SIGHUP during a run")
            service.send()
            ok(until(box.has_waiter), "a line waits for its end")
            ok(service.reload(), "SIGHUP while a line waits")
            (box.out / "go").touch()
            ok(box.wait_ends(1), "the run goes on to its end")
            equal(box.runs()[0].overlap, 0, "G2: no overlap")
            ok(box.wait_starts(2), "G1: the line that waited starts the action")
            check_apart(box, 2000, "SIGHUP, and a line that waits")
            equal(box.runs()[1].overlap, 0, "G2: no overlap")
            equal(box.state().counts().get("error", 0), 0, "no error")


def connections_go_on():
    """One that has said half of its line, and those that nobody has accepted yet."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nread-timeout 10s\nfrom any\naction {box.recorder()}\n")
        with Managed(box, conf) as service:
            client = service.connect()
            client.sendall(LINE[:7])
            time.sleep(0.2)
            ok(service.reload(), "SIGHUP: another network process serves")
            ok(not is_gone(client, 0.2), "half a line: the connection stays")
            client.sendall(LINE[7:])
            ok(box.wait_starts(1), "G1: the other half starts the action")
            client.close()
            lost = []
            for number in range(20):
                before = len(box.runs())
                os.kill(service.pid, signal.SIGHUP)
                service.send()
                if not box.wait_starts(before + 1):
                    lost.append(number)
                service.manager.hear()  # else it would wait for us
            equal(lost, [], "G1: no line is lost while it is read again, 20 times")
            ok(until(lambda: len(service.children()) == 1, 15), "one network process is left")
            ok(service.is_running(), "the service goes on")


def many_at_once():
    """Old ones that cannot end yet are bounded."""
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nread-timeout 60s\nfrom any\naction {box.recorder()}\n")
        with Service(box, conf) as service:
            service.network()
            clients = []
            for _ in range(8):
                clients.append(service.connect())
                clients[-1].sendall(b"n")
                time.sleep(0.1)
                os.kill(service.pid, signal.SIGHUP)
                time.sleep(0.4)
            ok(len(service.children()) <= 4, f"G4: {len(service.children())} network processes")
            service.send()
            ok(box.wait_starts(1), "the last one serves")
            for client in clients:
                client.close()
            ok(until(lambda: len(service.children()) == 1, 10), "the others end")
            os.kill(service.pid, signal.SIGTERM)
            ok(until(lambda: not service.is_running()), "SIGTERM ends it")


def killed_meanwhile():
    with Sandbox() as box:
        conf = box.config(FREE + f"interval 0s\nfrom any\naction {box.recorder()}\n")
        with Service(box, conf) as service:
            for number in range(6):
                network = service.network()
                os.kill(service.pid, signal.SIGHUP)
                time.sleep(0.004 * number)
                os.kill(service.pid, signal.SIGKILL)
                ok(until(lambda: not is_alive(network), 5), f"G5: round {number}: nothing is left")
                until(lambda: not service.is_running(), 5)
                service.start()
                before = len(box.runs())
                service.network()
                service.send()
                ok(box.wait_starts(before + 1), f"G5: round {number}: the next service serves")


nmtest.run(
    new_words_hold, mistakes_change_nothing, runs_and_limits_go_on, connections_go_on, many_at_once, killed_meanwhile
)
