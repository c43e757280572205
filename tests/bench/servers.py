# SPDX-License-Identifier: ISC
"""Super-servers with a handler each, and complete servers, under the same load: connections a second,
and what the server's processes use of a processor for each. For bench.

All of them are in a network of their own, where only a loopback interface is; ports are nobody else's.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "systemd"))
import container
import front
import measure
import nmtest
from nmtest import BUILD, PROJECT, until
from paths import BENCH, FREE

PACKAGES = PROJECT / "build" / "packages"
INETD = PACKAGES / "openbsd-inetd/usr/sbin/inetd"
XINETD = PACKAGES / "xinetd/usr/sbin/xinetd"
TICK = os.sysconf("SC_CLK_TCK")
PORT = 7900
NOBODY = SimpleNamespace(log_path=os.devnull)  # reads the log
SENDERS = 254  # 127.0.1.1 and on, of which nmnotifyd's configuration permits the first half

PYTHON = "/usr/bin/python3"
# They do less than nmnotify: no configuration, no limit, no log, and nothing is run.
SCRIPTS = {
    "shell": "#!/bin/sh\nread -r line\ncase $line in nm_notifyuser*) exit 0 ;; esac\nexit 1\n",
    "python": f"#!{PYTHON}\nimport os\nos._exit(os.read(0, 16) != b'nm_notifyuser\\r\\n')\n",
}
HANDLERS = ("nmnotify", *SCRIPTS)
ASYNCIO = """import asyncio, sys
async def handle(reader, writer):
    await reader.read(16)
    writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()
asyncio.run(main())
"""
XINETD_ENTRY = """service bench
{{
	type = UNLISTED
	port = {port}
	bind = 127.0.0.1
	socket_type = stream
	protocol = tcp
	wait = no
	user = {user}
	server = {program}
{arguments}
	cps = 0 1
	instances = UNLIMITED
	per_source = UNLIMITED
	log_on_success =
	log_on_failure =
}}
"""


def private_network():
    """For this process and all it starts. False if it may not."""
    if not nmtest.is_root() or ctypes.CDLL(None).unshare(0x40000000) != 0:  # CLONE_NEWNET
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        up, running, siocsifflags = 0x1, 0x40, 0x8914
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", up | running))
    return True


# ---- Processes ----


def tree(pid):
    return [pid, *(found for child in nmtest.children_of(pid) for found in tree(child))]


def processor_us(pid):
    """What a process, what it has started, and what has ended of that have used so far."""
    ticks = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks * 1000000 / TICK


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@contextmanager
def started(name, pid, port):
    try:
        if not until(lambda: answers(port), 10):
            raise RuntimeError(f"a server does not answer: {name}")
        yield pid
    finally:
        _end(pid)


def _open(pid):
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _end(pid):
    """A server that we started, and what it leaves behind."""
    left = [process for process in map(_open, tree(pid)[1:]) if process is not None]
    os.kill(pid, signal.SIGTERM)
    if not until(lambda: os.waitpid(pid, os.WNOHANG)[0], 5, 0.02):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for process in left:
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        except ProcessLookupError:
            pass
        os.close(process)


def run(*words, **how):
    return subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        start_new_session=True,
        **how,
    ).pid


# ---- Servers, by name ----


def programs(paths):
    """Of each handler the words that start it, as the one who has the waiter."""
    for name, text in SCRIPTS.items():
        (paths.dir / name).write_text(text)
        (paths.dir / name).chmod(0o755)
    return {
        "nmnotify": paths.command("coalesced"),
        **{name: [paths.dir / name] for name in SCRIPTS},
    }


def tcpserver(paths, words, port):
    user = ["-u", paths.user.pw_uid, "-g", paths.user.pw_gid] if paths.user else []
    return run("tcpserver", "-q", "-R", "-H", "-l0", "-c", 100, *user, "127.0.0.1", port, *words)


def inetd(paths, words, port):
    user = paths.user.pw_name if paths.user else nmtest.pwd.getpwuid(os.geteuid()).pw_name
    entry = ["127.0.0.1:%d" % port, "stream", "tcp", "nowait.2147483647", user, words[0], Path(words[0]).name]
    conf = paths.dir / f"inetd.{port}"
    conf.write_text("\t".join(map(str, [*entry, *words[1:]])) + "\n")
    return run(INETD, "-i", conf)


def xinetd(paths, words, port):
    user = paths.user.pw_name if paths.user else nmtest.pwd.getpwuid(os.geteuid()).pw_name
    conf = paths.dir / f"xinetd.{port}"
    arguments = " ".join(map(str, ["\tserver_args =", *words[1:]])) if words[1:] else ""
    conf.write_text(XINETD_ENTRY.format(port=port, user=user, program=words[0], arguments=arguments))
    return run(XINETD, "-dontfork", "-f", conf, "-pidfile", paths.dir / f"pid.{port}")


SUPER = {"tcpserver": ("tcpserver", tcpserver), "xinetd": (XINETD, xinetd), "openbsd-inetd": (INETD, inetd)}


def loop(paths, port):
    """The bare loop of accept, recv, close."""
    return run(measure.LOAD, "sink", "127.0.0.1", port, 120000)


def asyncio(paths, port):
    script = paths.dir / "asyncio"
    script.write_text(ASYNCIO)
    return run(PYTHON, script, port)


def socat(paths, port):
    return run("socat", "-u", f"TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=4096,readbytes=15", "OPEN:/dev/null")


def nmnotifyd(paths, port):
    """Handed the listening socket as systemd does it."""
    return _nmnotifyd(paths, port)


def nmnotifyd_static(paths, port):
    """The one that knows no systemd: as inetd does it."""
    return _nmnotifyd(paths, port, inetd=True, program=BENCH / "static" / "nmnotifyd")


def _nmnotifyd(paths, port, **how):
    state = paths.state / str(port)
    state.mkdir(mode=0o755, exist_ok=True)
    conf = paths.dir / f"nmnotifyd.{port}"
    user = f"user {paths.user.pw_name}\n" if paths.user else ""
    conf.write_text(f"state {state}\nlog stderr\n{user}{FREE}from 127.0.1.0/25\ninterval 1d\naction /bin/true\n")
    conf.chmod(0o644)
    with front.listener(port=port) as listening:
        return front.Service(NOBODY, conf, [listening], **how).pid


COMPLETE = {"nmnotifyd": nmnotifyd, "loop": loop, "asyncio": asyncio, "socat": socat}
SERVICES = {"with libsystemd": nmnotifyd, "without, static": nmnotifyd_static}


# ---- Load ----


def loaded(pid, port, ms, kind="rate", sources=1):
    """(connections a second, µs of a processor for each)"""
    time.sleep(0.05)
    used = processor_us(pid)
    _, numbers = measure.load(kind, sources, 32, 1000000, ms, port)
    done = numbers["valid"] + numbers["junk"]
    until(lambda: len(tree(pid)) < 8, 2, 0.01)  # handlers that are just ending
    return done * 1000 / numbers["ms"], (processor_us(pid) - used) / max(1, done)


def missing(program):
    return shutil.which(str(program)) is None


def super_servers(paths, repetitions, ms, note):
    """{(server, handler): [(rate, us)]}"""
    words, results, port = programs(paths), {}, PORT
    for _ in range(repetitions):
        for name, (program, start) in SUPER.items():
            if missing(program):
                note(f"{name}: not installed")
                continue
            for handler in HANDLERS:
                port += 1
                with started(name, start(paths, words[handler], port), port) as pid:
                    results.setdefault((name, handler), []).append(loaded(pid, port, ms))
    return results


def complete_servers(paths, names, repetitions, ms, note, kind="rate", sources=1):
    """{name: [(rate, us)]}; each stays, and they are loaded in turn."""
    results, port, pids = {}, PORT + 1000, {}
    for name in names:
        if name == "socat" and missing("socat"):
            note("socat: not installed")
            continue
        port += 1
        pids[name] = (COMPLETE[name](paths, port), port)
    try:
        for name, (pid, port) in pids.items():
            if not until(lambda: answers(port), 10):
                raise RuntimeError(f"a server does not answer: {name}")
            loaded(pid, port, 200, kind, sources)
        for _ in range(repetitions):
            for name, (pid, port) in pids.items():
                results.setdefault(name, []).append(loaded(pid, port, ms, kind, sources))
    finally:
        for pid, _ in pids.values():
            _end(pid)
    return results


def memory(paths, ms):
    """{kind of nmnotifyd: (resident, its share of what is shared, private)}, KiB of both its processes
    under load."""
    results, port = {}, PORT + 2000
    for name, start in SERVICES.items():
        port += 1
        with started(name, start(paths, port), port) as pid:
            loaded(pid, port, ms, "mix", SENDERS)
            # The network process is the first that it made.
            both = [pid, sorted(nmtest.children_of(pid))[0]]
            sizes = [measure.memory(each, ("Rss:", "Pss:", "Private_")) for each in both]
            results[name] = tuple(map(sum, zip(*sizes)))
    return results


# ---- systemd ----

def _bring_python(box):
    """The container is of this machine's release, and has none."""
    if box.run(PYTHON, "-c", "import os", check=False).returncode == 0:
        return  # a test that needs it has put it into the tree
    real = Path(PYTHON).resolve()
    listed = subprocess.run(["ldd", real], capture_output=True, text=True, check=True).stdout
    libraries = [word for word in listed.split() if word.startswith("/")]
    library = Path("/usr/lib") / real.name
    for path in [str(real), *libraries]:
        target = box.root / path.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.copytree(library, box.root / str(library).lstrip("/"), symlinks=True, dirs_exist_ok=True)
    os.symlink(real, box.root / PYTHON.lstrip("/"))
    if box.run(PYTHON, "-c", "import os", check=False).returncode != 0:
        raise RuntimeError("the container's python does not run")


def systemd(repetitions, ms):
    """The units as they are installed, with each handler: {("systemd", handler): [(rate, us)]}"""
    dropin = "/etc/systemd/system/nmnotify@.service.d/bench.conf"
    results = {}
    with container.Container() as box:
        measure.prepare(box)
        _bring_python(box)
        for name, text in SCRIPTS.items():
            box.write(f"/usr/local/bin/bench-{name}", text, 0o755)
        for _ in range(repetitions):
            for handler in HANDLERS:
                program = f"\nExecStart=\nExecStart=/usr/local/bin/bench-{handler}" if handler in SCRIPTS else ""
                box.write(dropin, f"[Service]{program}\n")
                box.run("systemctl", "daemon-reload")
                rate, used = measure.per_connection(box, ms)
                results.setdefault(("systemd", handler), []).append((rate, used * 1000))
    return results
