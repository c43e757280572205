# SPDX-License-Identifier: ISC
"""What the behaviour tests share: TAP, and a sandbox to start handlers in.

    import nmtest
    with nmtest.Sandbox() as box:
        conf = box.config(f"from any\naction {box.recorder()}\n")
        nmtest.ok(box.connect_and_run(conf, nmtest.LINE) == 0, "G1: a line is answered")
    nmtest.done()

A test starts every handler as a super-server would, with the connection on descriptor 0, and needs
no super-server for it. Run as root, the action runs as an unprivileged user; run as anybody else,
it runs as him, and what needs root is skipped.
"""

import ast
import ctypes
import errno
import fcntl
import os
import pwd
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("BUILD") or PROJECT / "build").resolve()
NMNOTIFY = BUILD / "nmnotify"
LINE = b"nm_notifyuser\r\n"

EX_OK, EX_OSERR, EX_CONFIG = 0, 71, 78

# Longer than anything takes on the slowest machine, so that a test fails instead of hanging. On one that is emulated
# NMNOTIFY_TEST_SLOW says how many times as long that is.
PATIENCE = 30.0
SLOW = float(os.environ.get("NMNOTIFY_TEST_SLOW") or 1)

# ---- TAP ----

_count = 0
_failed = 0


def ok(cond, name, tell=True):
    """One check. Returns whether it held. If not, it tells what was to hold, and what it saw."""
    global _count, _failed
    _count += 1
    if not cond:
        _failed += 1
    print(f"{'ok' if cond else 'not ok'} {_count} - {name.replace('#', '')}", flush=True)
    if not cond:
        frame = sys._getframe(1)
        while frame and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        if frame:
            diag(f"at {Path(frame.f_code.co_filename).name} line {frame.f_lineno}")
            if tell:
                _tell(frame)
    return bool(cond)


# What can be asked again and is the same: not until(), nor anything else that takes time or has an effect.
_AGAIN = {"len", "set", "sorted", "sum", "max", "min", "list", "abs", "int", "str", "range", "runs", "starts", "log"}
_AGAIN |= {"messages", "state", "counts", "exists", "get", "values", "splitlines", "strip", "startswith", "endswith", "count"}


def _tell(frame):
    """What was to hold in that frame, and the values in it."""
    tree = ast.parse(Path(frame.f_code.co_filename).read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and n.lineno <= frame.f_lineno <= n.end_lineno]
    condition = next((c.args[0] for c in calls if ast.unparse(c.func).split(".")[-1] == "ok"), None)
    if not condition or isinstance(condition, ast.Constant):
        return
    diag(f"wanted: {ast.unparse(condition)}")
    for part in _values(condition):
        diag(f"   saw: {ast.unparse(part)} = {_value(part, frame)}")


def _values(node):
    """The operands of comparisons, and what all() and any() go through."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.GeneratorExp):
        parts = [generator.iter for generator in node.args[0].generators[:1]]
    elif isinstance(node, (ast.BoolOp, ast.UnaryOp, ast.Compare, ast.BinOp)):
        parts = [part for child in ast.iter_child_nodes(node) for part in _values(child)]
    else:
        parts = [node] if isinstance(node, ast.expr) and not isinstance(node, ast.Constant) else []
    return [part for part in parts if all(map(_is_same_again, ast.walk(part)))]


def _is_same_again(node):
    return not isinstance(node, (ast.Await, ast.NamedExpr, ast.Call)) or (
        isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in _AGAIN
    )


def _value(part, frame):
    try:
        text = repr(eval(compile(ast.Expression(part), "check", "eval"), frame.f_globals, frame.f_locals))
    except Exception as e:  # the test goes on
        text = f"{type(e).__name__}: {e}"
    return text if len(text) <= 500 else f"{text[:500]}..."


def equal(got, wanted, name):
    if not ok(got == wanted, name, tell=False):
        diag(f"   got: {got!r}")
        diag(f"wanted: {wanted!r}")
    return got == wanted


def skip(name, why):
    global _count
    _count += 1
    print(f"ok {_count} - {name.replace('#', '')} # SKIP {why}", flush=True)


def diag(text):
    for line in str(text).splitlines() or [""]:
        print(f"# {line}", flush=True)


def pass_on(lines, name):
    """Another test's TAP as one's own, under that name; but for its plan."""
    for line in lines:
        result = re.fullmatch(r"(not )?ok \d+ - (.*)", line)
        if not result:
            print(line, flush=True) if line.startswith("#") else None
        elif " # SKIP " in result[2]:
            what, why = result[2].split(" # SKIP ", 1)
            skip(f"{name}: {what}", why)
        else:
            ok(not result[1], result[2] if result[2].startswith(name) else f"{name}: {result[2]}", tell=False)


def done():
    """The plan, last of all; ends the process."""
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)


def environment_for_make():
    """This one's, without what a make that has started the test has put there for its own children."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}


def run(*parts):
    """Runs the parts of a test file in order. One that raises fails, and the next ones still run.
    Arguments of the command line pick parts by name; TIMES=1 says how long each takes."""
    # A test that is ended cleans up, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    for part in parts:
        if len(sys.argv) > 1 and part.__name__ not in sys.argv[1:]:
            continue
        begun = time.monotonic()
        try:
            part()
            if os.environ.get("TIMES"):
                diag(f"{part.__name__}: {time.monotonic() - begun:.1f} s")
        except Exception:  # whatever it is, it is a failure of this part alone
            ok(False, f"{part.__name__}: runs to its end")
            diag(traceback.format_exc())
    done()


# ---- Time and processes ----


def until(condition, timeout=PATIENCE, step=0.005):
    """Waits until condition() is true; returns its last value. What takes long, as a command does, is asked less often:
    what is waited for needs the processors, too."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        began = time.monotonic()
        value = condition()
        ended = time.monotonic()
        if value or ended > deadline:
            return value
        time.sleep(max(step, min(3 * (ended - began), 0.25)))


def boottime_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000


def is_root():
    return os.geteuid() == 0


def process_state(pid):
    """The letter of proc(5), or None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2]


def holds_socket(pid):
    fds = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{fds}/{fd}").startswith("socket:") for fd in os.listdir(fds))
    except FileNotFoundError:
        return True  # one was closed while we looked: look again


def children_of(pid):
    """In the order of their birth, which is not always that of their numbers."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def is_alive(pid):
    return process_state(pid) not in (None, "Z", "X", "x")


def kill(pid, number=signal.SIGKILL):
    """Signals a process, which may end by itself at any moment."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def process_waits_in(pid):
    """The number of the system call that a process sleeps in, None if it does not or is gone. Of our
    programs only root may know the number: to others it is -1."""
    try:
        first = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except PermissionError:
        return -1 if process_state(pid) == "S" else None
    except (OSError, IndexError):
        return None
    return None if first in ("running", "-1") else int(first)


# ---- Mounts that nobody else sees ----

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE, MS_RDONLY = 0x20000, 0x4000, 0x40000, 1
_has_namespace = None


def private_mounts():
    """Gives this process a mount namespace of its own, if root and the kernel allow it."""
    global _has_namespace
    if _has_namespace is None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
        _has_namespace = (
            is_root()
            and libc.unshare(_CLONE_NEWNS) == 0
            and libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) == 0
        )
    return _has_namespace


def mount_tmpfs(path, options="", flags=0):
    """Only after private_mounts(): it goes with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
    if libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", flags, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount tmpfs on {path}")


def unmount(path):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), 2) != 0:  # MNT_DETACH
        raise OSError(ctypes.get_errno(), f"unmount {path}")


# ---- One handler ----


class Handler:
    """A handler and the other end of its connection."""

    def __init__(self, pid, client, reader=None):
        self.pid = pid
        self.client = client  # a socket, or the descriptor of a pipe or terminal to write to
        self.reader = reader  # descriptor to read what is sent, if it is not the client
        self.status = None
        self._received = b""

    def _is_socket(self):
        return isinstance(self.client, socket.socket)

    def send(self, data):
        """Sends; a connection that the handler has closed already is no error."""
        try:
            if self._is_socket():
                self.client.sendall(data)
            else:
                os.write(self.client, data)
        except OSError as e:
            if e.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EIO):
                raise

    def shutdown(self):
        """No more will be sent; what is sent to us still arrives."""
        if not self._is_socket():
            if self.client is not None and self.client != self.reader:
                os.close(self.client)
                self.client = None
            return
        try:
            self.client.shutdown(socket.SHUT_WR)
        except OSError as e:
            if e.errno not in (errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE):
                raise

    def close(self):
        if self._is_socket():
            self.client.close()
        elif self.client is not None:
            os.close(self.client)
        if self.reader is not None and self.reader != self.client:
            os.close(self.reader)
        self.client = self.reader = None

    def reset(self):
        """Ends the connection with RST."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def is_closed(self, timeout=0.0):
        """Has the handler closed the connection?"""
        return self._read_to_end(timeout)

    def received(self, timeout=PATIENCE):
        """All bytes that came until the other end closed. Raises TimeoutError if it does not."""
        if not self._read_to_end(timeout):
            raise TimeoutError("the connection was not closed")
        return self._received

    def _read_to_end(self, timeout):
        fd = self.client.fileno() if self._is_socket() else self.reader
        if fd is None:
            return True
        deadline = time.monotonic() + timeout
        while True:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                return False
            try:
                got = os.read(fd, 65536)
            except OSError as e:
                if e.errno not in (errno.ECONNRESET, errno.EIO):
                    raise
                return True
            if not got:
                return True
            self._received += got

    def is_running(self):
        return self.status is None and not self._reap(os.WNOHANG)

    def _reap(self, flags):
        pid, status = os.waitpid(self.pid, flags)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def wait(self, timeout=PATIENCE):
        """Exit status; minus the signal's number if it died of one."""
        if self.status is None:
            fd = os.pidfd_open(self.pid)
            try:
                most = timeout * SLOW
                ended, _, _ = select.select([fd], [], [], most) if fd < 1024 else _poll(fd, most)
            finally:
                os.close(fd)
            if not ended:
                raise TimeoutError(f"process {self.pid} has not ended in {most} s")
            self._reap(0)
        return self.status

    def kill(self, number=signal.SIGKILL):
        """Only as long as it has not been waited for: the number may be somebody else's then."""
        if self.status is None:
            os.kill(self.pid, number)

    def end(self):
        """Whatever it does: it is gone afterwards."""
        if self.is_running():
            self.kill()
            self.wait()
        try:
            self.close()
        except OSError:
            pass


def _poll(fd, timeout):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(timeout * 1000), None, None


# ---- State ----

VERDICTS = ("accepted", "deferred", "coalesced", "denied", "malformed", "timeout", "error")


class State:
    """STATE/ACCOUNT/limits; the layout is in src/state/state.h."""

    SIZE = 65536
    HEADER = 256
    ORDER = "="  # this machine's, as struct has it
    WORDS = {"due": 0, "last_start": 1, "owed": 2, "action": 3, "asked": 8, "asked_for": 9, "failures": 12, "starts": 23}
    KEY, VERDICT, LOG_TAT, SUPPRESSED = 4, 16, 24, 32

    def __init__(self, path):
        self.path = Path(path)

    def word(self, index):
        with open(self.path, "rb") as f:
            # It is made empty, and has its size a moment later.
            return struct.unpack_from(f"{self.ORDER}I", f.read(self.HEADER).ljust(self.HEADER, b"\0"), 4 * index)[0]

    def poke(self, name_or_index, value):
        index = self.WORDS.get(name_or_index, name_or_index)
        with open(self.path, "r+b", buffering=0) as f:
            f.seek(4 * index)
            f.write(struct.pack(f"{self.ORDER}I", value & 0xFFFFFFFF))

    def __getattr__(self, name):
        if name in self.WORDS:
            return self.word(self.WORDS[name])
        if name in VERDICTS:
            return self.word(self.VERDICT + VERDICTS.index(name))
        raise AttributeError(name)

    def suppressed(self, verdict):
        return self.word(self.SUPPRESSED + VERDICTS.index(verdict))

    def counts(self):
        """Verdicts that occurred, and how often."""
        return {v: getattr(self, v) for v in VERDICTS if getattr(self, v)}


WAITING, RUNNING = 0, 1
_F_OFD_GETLK = 36
_FLOCK = "hhqqi4x" if struct.calcsize("l") == 8 else "hhqqi"


class Run:
    """One run of the recorder. Times are in nanoseconds of CLOCK_BOOTTIME."""

    def __init__(self, pid, start, overlap, last_start, source, account):
        self.pid, self.start, self.overlap = int(pid), int(start), int(overlap)
        self.last_start, self.source, self.account = int(last_start), source, account
        self.end = None


# ---- The sandbox ----


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def _reachable(path):
    """Can everybody get there?"""
    return all(os.stat(p).st_mode & 0o001 for p in [path, *Path(path).resolve().parents])


def _temporary_base():
    base = tempfile.gettempdir()
    return base if not is_root() or _reachable(base) else "/tmp"


def _unprivileged():
    for name in ("nobody", "games", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return entry
    raise RuntimeError("there is no unprivileged user")


def _other_user(entry):
    """Another one still."""
    for name in ("games", "daemon", "bin", "nobody"):
        try:
            other = pwd.getpwnam(name)
        except KeyError:
            continue
        if other.pw_uid not in (0, entry.pw_uid):
            return other
    raise RuntimeError("there is no second unprivileged user")


def _compiled_recorder():
    source = Path(__file__).resolve().parent / "recorder.c"
    binary = BUILD / "tests" / "recorder"
    if binary.exists() and binary.stat().st_mtime >= source.stat().st_mtime:
        return binary
    compiler = shlex.split(os.environ.get("HOSTCC") or "cc")
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        target = binary.parent
    except OSError:
        target = None
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "recorder"
        subprocess.run([*compiler, "-O1", "-o", str(built), str(source)], check=True, timeout=120)
        if target is None or not os.access(target, os.W_OK):
            kept = Path(tempfile.mkdtemp(prefix="nmtest-recorder.")) / "recorder"
            shutil.copy(built, kept)
            return kept
        # Two test files may do this at the same time: each moves a whole file into its place.
        fresh = target / f"recorder.{Path(scratch).name}"
        shutil.copy(built, fresh)
        os.replace(fresh, binary)
    return binary


class Sandbox:
    """A temporary directory with state, configuration, log and output, and the processes in it."""

    def __init__(self):
        # Many handlers at a time are many descriptors.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="nmtest.", dir=_temporary_base()))
        self.dir.chmod(0o755)
        entry = _unprivileged() if is_root() else pwd.getpwuid(os.geteuid())
        self.user = entry.pw_name if is_root() else None
        self.uid, self.gid, self.home = entry.pw_uid, entry.pw_gid, entry.pw_dir
        self.shell = entry.pw_shell or "/bin/sh"
        self.name = entry.pw_name
        self.other = _other_user(entry) if is_root() else None
        self.out = self.dir / "out"
        self.out.mkdir(mode=0o755)
        # 0755, as systemd makes it: the recorder reads the time of the last start in it.
        self.state_dir = self.dir / "state"
        self.state_dir.mkdir(mode=0o755)
        # Where there is no configuration to say it, nothing outside of the sandbox is touched either,
        # nor where errors are counted for want of state; everybody may do that, as in /tmp.
        self.errors = self.dir / "errors"
        self.errors.mkdir()
        self.errors.chmod(0o1777)
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "RUNTIME_DIRECTORY": str(self.state_dir),
            "XDG_RUNTIME_DIR": str(self.errors),
        }
        self.log_path = self.dir / "log"
        self.log_path.touch(mode=0o644)
        self._recorder = self.dir / "recorder"
        shutil.copy(_compiled_recorder(), self._recorder)
        self._recorder.chmod(0o755)
        self._recorder_path = str(self._recorder.resolve())
        if is_root():
            os.chown(self.out, self.uid, self.gid)
        self._handlers = []
        self._listeners = {}
        return self

    def __exit__(self, *_):
        try:
            # The supervisors first: their actions die with them.
            for handler in self._handlers:
                handler.end()
            self._end_actions()
        finally:
            for listener in self._listeners.values():
                listener.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def _recorders(self):
        """Processes that run our own copy of it."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/exe") == self._recorder_path:
                    found.append(int(entry))
            except OSError:
                continue  # gone, dead, or somebody else's
        return found

    def _end_actions(self):
        """What actions have left behind. They may just be making another one."""
        for _ in range(100):
            pids = self._recorders()
            if not pids:
                return
            for pid in pids:
                self._kill_recorder(pid)
            time.sleep(0.005)

    def _kill_recorder(self, pid):
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return
        try:
            # Once more: now the number cannot become another's.
            if os.readlink(f"/proc/{pid}/exe") == self._recorder_path:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        except OSError:
            pass
        finally:
            os.close(fd)

    # -- What it holds --

    def bring(self, program):
        """A copy that other users can get to, which they cannot in a clone below /root."""
        copy = self.dir / Path(program).name
        if not copy.exists():
            shutil.copy(program, copy)
            copy.chmod(0o755)
        return copy

    def config(self, text, name="nmnotify.conf"):
        """Writes a configuration, with state, log and user before it unless it has them; and without
        Landlock, unless it says something of that: actions of tests look at the state, and write where
        they like."""
        head = ""
        for keyword, line in (
            ("state", f"state {self.state_dir}"),
            ("log", "log stderr"),
            ("user", f"user {self.user}" if self.user else None),
            ("landlock", "landlock no"),
        ):
            if line and not re.search(rf"^[ \t]*{keyword}\b", text, re.MULTILINE):
                head += line + "\n"
        path = self.dir / name
        path.write_text(head + text)
        path.chmod(0o644)
        return path

    def recorder(self, *words, account="default", out=None):
        """The words of an `action` that runs recorder.c."""
        return shlex.join(
            [
                str(self._recorder),
                str(out or self.out),
                f"limits={self.state_dir / account / 'limits'}",
                *words,
            ]
        )

    def log(self):
        return self.log_path.read_text(errors="replace").splitlines()

    def messages(self):
        """The log without the program's name and process number."""
        return [re.sub(r"^nmnotify\[\d+\]: ", "", line) for line in self.log()]

    def forget_log_limits(self):
        """As if no line had been written for long."""
        for path in [self.state_dir / ".denied", *self.state_dir.glob("*/limits"), *self.errors.iterdir()]:
            if path.is_file() and not path.is_symlink() and path.stat().st_size >= State.HEADER:
                for i in range(len(VERDICTS)):
                    State(path).poke(State.LOG_TAT + i, 0)
                    State(path).poke(State.SUPPRESSED + i, 0)

    def state(self, account="default"):
        return State(self.state_dir / account / "limits")

    def lock_is_held(self, which, account="default"):
        """Whether anybody holds `waiting` (0) or `running` (1)."""
        try:
            fd = os.open(self.state_dir / account / "turn", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            ask = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, which, 1, 0)
            answer = fcntl.fcntl(fd, _F_OFD_GETLK, ask)
            return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK
        finally:
            os.close(fd)

    def has_waiter(self, account="default"):
        return self.lock_is_held(WAITING, account)

    def is_in_run(self, account="default"):
        return self.lock_is_held(RUNNING, account)

    def runs(self, out=None):
        """The recorder's runs so far, in the order in which they started."""
        runs = []
        try:
            lines = ((out or self.out) / "runs").read_text().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            kind, *rest = line.split()
            if kind == "start":
                runs.append(Run(*rest))
                continue
            for record in reversed(runs):
                if record.pid == int(rest[0]):
                    record.end = int(rest[1])
                    break
        return runs

    def starts(self, out=None):
        """When the recorder started, in nanoseconds of CLOCK_BOOTTIME."""
        return [record.start for record in self.runs(out)]

    def wait_starts(self, count, timeout=PATIENCE, out=None):
        """Waits for that many starts; True if there are as many at least."""
        return until(lambda: len(self.starts(out)) >= count, timeout)

    def wait_ends(self, count, timeout=PATIENCE, out=None):
        return until(lambda: sum(r.end is not None for r in self.runs(out)) >= count, timeout)

    def pids(self, kind=None):
        """Processes that recorders noted: all, or those of a kind (action, daemon, member)."""
        try:
            lines = (self.out / "pids").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [int(l.split()[0]) for l in lines if kind is None or l.split()[1] == kind]

    def handlers_alive(self):
        return [h for h in self._handlers if h.is_running()]

    # -- Handlers --

    def _listener(self, address):
        if address not in self._listeners:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                mapped = address.startswith("::ffff:")
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not mapped)
            listener.bind((address, 0))
            listener.listen(1024)
            self._listeners[address] = listener
        return self._listeners[address]

    def connection(self, source="127.0.0.1", to="127.0.0.1"):
        """A TCP connection: (client's end, server's end)."""
        listener = self._listener(to)
        client = socket.socket(listener.family, socket.SOCK_STREAM)
        client.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.bind((source, 0))
        client.connect(listener.getsockname())
        while True:
            server, peer = listener.accept()
            if peer[:2] == client.getsockname()[:2]:
                return client, server
            server.close()  # somebody else's

    def _ends(self, fds, source, to, data, pair):
        """(client, reader, [descriptors 0, 1, 2], [to close after the start])"""
        log = os.open(self.log_path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if fds in ("tcp", "inetd"):
            client, server = pair or self.connection(source, to)
            fd = server.detach()
            three = [fd, fd, fd] if fds == "inetd" else [fd, null, log]
            return client, None, three, [fd, null, log]
        if fds in ("unix", "unix-inetd"):
            client, server = socket.socketpair(socket.AF_UNIX)
            client.settimeout(PATIENCE)
            fd = server.detach()
            three = [fd, fd, fd] if fds == "unix-inetd" else [fd, fd, log]
            return client, None, three, [fd, null, log]
        if fds in ("pipe", "pipe-all"):
            theirs, client = os.pipe2(os.O_CLOEXEC)
            reader, answer = os.pipe2(os.O_CLOEXEC)
            three = [theirs, answer, answer if fds == "pipe-all" else log]
            return client, reader, three, [theirs, answer, null, log]
        if fds == "tty":
            client, theirs = os.openpty()
            mode = termios.tcgetattr(theirs)
            mode[0] = mode[1] = mode[3] = 0  # raw: CR stays CR, and nothing is echoed
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(theirs, termios.TCSANOW, mode)
            return client, client, [theirs, null, log], [theirs, null, log]
        if fds == "file":
            path = self.dir / f"input.{len(self._handlers)}"
            path.write_bytes(data or b"")
            theirs = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return None, None, [theirs, null, log], [theirs, null, log]
        raise ValueError(fds)

    def start(
        self,
        conf,
        source="127.0.0.1",
        data=None,
        fds="tcp",
        env=None,
        args=(),
        to="127.0.0.1",
        pair=None,
        descriptors=None,
        prefix=(),
        ignore=(),
        block=(),
        end=False,
        program="nmnotify",
    ):
        """Starts a handler as a super-server would.

        `data` is sent before it starts, and with `end` no more can come. `fds` is what it gets:
        tcp (the connection on 0, the log on 2), inetd (the connection on 0, 1, 2), unix (a socket
        on 0 and 1), unix-inetd (on all three), pipe (pipes on 0 and 1), pipe-all (and on 2), tty,
        file. `pair` is a connection that was made before. `descriptors` maps further descriptors,
        or replaces 0 to 2 (None: closed). Signals in `ignore` are ignored, in `block` blocked.
        `prefix` is the words of a command that becomes the handler, maybe as another user.
        """
        client, reader, three, mine = self._ends(fds, source, to, data, pair)
        handler = Handler(0, client, reader)
        if data is not None and fds != "file":
            handler.send(data)
        if end and fds != "file":
            handler.shutdown()
        wanted = dict(enumerate(three))
        wanted.update(descriptors or {})
        actions, high = [], []
        for number, fd in wanted.items():
            if fd is None:
                actions.append((os.POSIX_SPAWN_CLOSE, number))
                continue
            # Out of the way of the numbers that are still to be filled.
            copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200)
            high.append(copy)
            actions.append((os.POSIX_SPAWN_DUP2, copy, number))
        path = self.bring(BUILD / program) if prefix else BUILD / program
        command = [*prefix, str(path), *(["-f", str(conf)] if conf else []), *args]
        # Were it ignored here, a child that ends at once would be gone before it is waited for (wait(2)).
        if signal.SIGCHLD in ignore:
            command = ["/usr/bin/env", "--ignore-signal=CHLD", *command]
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ignore if number != signal.SIGCHLD}
        try:
            handler.pid = os.posix_spawn(
                command[0],
                command,
                self._environment if env is None else env,
                file_actions=actions,
                setsigmask=block,
                setsigdef=[s for s in (signal.SIGPIPE, signal.SIGXFSZ) if s not in ignore],
            )
        finally:
            for number, disposition in before.items():
                signal.signal(number, disposition)
            for fd in {*high, *mine}:
                os.close(fd)
        self._handlers.append(handler)
        return handler

    def connect_and_run(self, conf, data=LINE, source="127.0.0.1", timeout=PATIENCE, **how):
        """Sends data, says that no more comes, and waits for the handler's end: its status."""
        handler = self.start(conf, source=source, data=data, end=True, **how)
        try:
            return handler.wait(timeout)
        finally:
            handler.close()

    def check(self, *args, env=None, program=NMNOTIFY):
        """Runs `nmnotify ARGS` without a connection: (status, standard output, standard error)."""
        result = subprocess.run(
            [str(program), *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            env=self._environment if env is None else env,
        )
        return result.returncode, result.stdout, result.stderr
