#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""-t can be trusted: what it passes runs, and what would not run it says. Each configuration is checked and run."""

import os
import pty
import pwd
import re
import select
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from nmtest import EX_CONFIG, EX_OK, EX_OSERR, NMNOTIFY, Sandbox, equal, is_root, ok, skip

FREE = "from any\ninterval 0s\nlimit 1000/s burst 100\n"


def check(box, conf, *args, env=None):
    """-t: its status, and its messages without the file's name."""
    status, _, err = box.check("-t", "-f", conf, *args, env=env)
    return status, [line.replace(f"{conf}:", "", 1) for line in err.splitlines()]


def agrees(box, name, conf, wanted, runs_with, env=None):
    """wanted: None, or a pattern for -t's one message. runs_with: the status of a run."""
    is_error = wanted is not None and "warning: " not in wanted
    status, said = check(box, conf, env=env)
    good = status == (EX_CONFIG if is_error else EX_OK) and (
        said == [] if wanted is None else len(said) == 1 and re.search(wanted, said[0])
    )
    ok(good, f"conf: -t: {name}") or nmtest.diag(f"{status}: {said}, wanted: {wanted}")
    box.forget_log_limits()
    equal(box.connect_and_run(conf, env=env), runs_with, f"conf: {name}: and that is what happens")


def script(path, text, mode=0o755):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def elf_of(**changes):
    """Our own program, with other numbers in its header."""
    header = bytearray(NMNOTIFY.read_bytes())
    if "machine" in changes:
        struct.pack_into("<H", header, 18, changes["machine"])
    if "kind" in changes:
        struct.pack_into("<H", header, 16, changes["kind"])
    if "bits" in changes:
        header[4] = changes["bits"]
    return bytes(header)


def has_binfmt():
    """Has somebody taught this kernel other kinds of program?"""
    try:
        return bool(set(os.listdir("/proc/sys/fs/binfmt_misc")) - {"register", "status"})
    except OSError:
        return False


# ---- Programs ----


def programs():
    """One errno has many reasons: -t and the log say which."""
    with Sandbox() as box:
        d = box.dir
        deep = d / "shut" / "deep"
        deep.mkdir(parents=True)
        script(deep / "x", "#!/bin/sh\n")
        (d / "file").write_text("")
        os.mkfifo(d / "fifo", 0o755)
        (d / "fifo").chmod(0o755)
        (d / "nowhere").symlink_to(d / "none")
        (d / "loop").symlink_to(d / "loop")
        script(d / "good", "#!/bin/sh\nexit 0\n")
        script(d / "blank", "#! \t/bin/sh \t-e\nexit 0\n")
        script(d / "bare", "#!/bin/sh")
        (d / "link").symlink_to(d / "good")
        script(d / "unreadable", "#!/bin/sh\nexit 0\n", 0o711)
        script(d / "crlf", "#!/bin/sh\r\nexit 0\r\n")
        script(d / "missing", "#!/no/such/interpreter -x\n")
        script(d / "plain-interpreter", f"#!{script(d / 'plain', '', 0o644)}\n")
        script(d / "directory-interpreter", "#!/usr/bin\n")
        script(d / "nested", f"#!{d}/missing\n")
        script(d / "none-behind", "#!\nexit 0\n")
        script(d / "long", "#!/" + "x" * 300 + "\n")
        script(d / "no-first-line", "echo hello\n")
        script(d / "empty", "")
        script(d / "text", "#!/bin/sh\n", 0o644)
        script(d / "other-machine", elf_of(machine=0xF3F3))
        script(d / "other-bits", elf_of(bits=1 if struct.calcsize("P") == 8 else 2))
        script(d / "object", elf_of(kind=1))
        if is_root():
            os.chown(d / "unreadable", 0, 0)
            (d / "shut").chmod(0o700)
        cases = [
            ("a program", "/bin/true", None, 0),
            ("a script", d / "good", None, 0),
            ("a script with blanks", d / "blank", None, 0),
            ("a script of one line without a newline", d / "bare", None, 0),
            ("a symlink to a script", d / "link", None, 0),
            ("a directory", "/usr/bin", "a directory, not a program$", 126),
            ("a fifo", d / "fifo", "a fifo, not a program$", 126),
            ("a device", "/dev/null", "a device, not a program$", 126),
            ("a missing program", d / "none", f"{d}/none: No such file or directory$", 127),
            ("a missing folder", d / "a/b/c", "a/b/c: No such file or directory$", 127),
            ("a file for a folder", d / "file/x", rf"file/x: Not a directory \(at {d}/file\)$", 127),
            ("a symlink to nothing", d / "nowhere", r"No such file or directory \(it is a symlink to nothing\)$", 127),
            ("a symlink to itself", d / "loop", "loop: ", 126),
            ("a file that is not executable", d / "text", r"Permission denied \(not executable for this user\)$", 126),
            ("lines that end in CR LF", d / "crlf", r"its interpreter /bin/sh\\x0d: No such file or directory \(its first line ends in CR LF", 127),
            ("a missing interpreter", d / "missing", "its interpreter /no/such/interpreter: No such file", 127),
            ("an interpreter that is not executable", d / "plain-interpreter", "its interpreter .*/plain: Permission denied", 126),
            ("an interpreter that is a directory", d / "directory-interpreter", "its interpreter /usr/bin: a directory", 126),
            ("an interpreter whose own is missing", d / "nested", "its interpreter .*/missing: its interpreter /no/such/interpreter: No such", 127),
        ]  # fmt: skip
        if has_binfmt():
            skip("conf: programs of other kinds", "binfmt_misc may run them here")
        else:
            cases += [
                ("nothing behind #!", d / "none-behind", "its first line names no interpreter behind #!$", 126),
                ("an interpreter too long for the kernel", d / "long", "its first line names no interpreter", 126),
                ("a script without #!", d / "no-first-line", "neither a program nor a script", 126),
                ("an empty file", d / "empty", "neither a program nor a script", 126),
                ("another machine's program", d / "other-machine", "a program for another kind of machine$", 126),
                ("a program of another word size", d / "other-bits", "a program for another kind of machine$", None),
                ("an object file", d / "object", "an object file, not a program$", 126),
            ]
        if is_root():
            cases += [
                ("a folder that the user may not enter", deep / "x", rf"Permission denied \(at {d}/shut\)$", 126),
                ("a script that the user may not read", d / "unreadable", f"a script that {box.name} may not read$", None),
            ]  # fmt: skip
        for number, (name, path, wanted, status) in enumerate(cases):
            conf = box.config(FREE + f"account a{number}\naction {path}\n")
            if status is None:  # what it then does is the kernel's, or the interpreter's, to say
                code, said = check(box, conf)
                ok(code == EX_CONFIG and len(said) == 1 and re.search(wanted, said[0]), f"conf: -t: {name}") or nmtest.diag(said)
                ok(box.connect_and_run(conf) != 0, f"conf: {name}: and it does not run")
                continue
            agrees(box, name, conf, wanted and f"{wanted}", status)
            if status in (126, 127):
                log = [m for m in box.messages() if m.startswith("run=failed")][-1]
                reason = check(box, conf)[1][0].split("action: ", 1)[1]
                said = re.search(r'reason="?(.*?)"?$', log)[1]
                equal(said, reason, f"log: {name}: run=failed says the same as -t")


def loaders():
    """A dynamic program whose loader is missing."""
    compiler = shutil.which("cc")
    if not compiler:
        skip("conf: a missing loader", "no compiler")
        return
    with Sandbox() as box:
        source, program = box.dir / "x.c", box.dir / "x"
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run([compiler, "-Wl,--dynamic-linker=/no/such/ld.so", "-o", program, source], check=True)
        conf = box.config(FREE + f"action {program}\n")
        agrees(box, "a missing loader", conf, "its loader /no/such/ld.so: No such file or directory$", 127)


def mounts():
    if not nmtest.private_mounts():
        skip("conf: noexec", "no mount namespace")
        return
    with Sandbox() as box:
        place = box.dir / "noexec"
        place.mkdir()
        nmtest.mount_tmpfs(place, "mode=755", flags=8)  # MS_NOEXEC
        try:
            program = script(place / "x", "#!/bin/sh\nexit 0\n")
            conf = box.config(FREE + f"action {program}\n")
            agrees(box, "a noexec mount", conf, r"Permission denied \(its file system is mounted noexec\)$", 126)
        finally:
            nmtest.unmount(place)


def access_lists():
    """Asked as the user, with his groups and access control lists."""
    if not is_root():
        skip("conf: -t asks as the user", "not root")
        return
    with Sandbox() as box:
        program = script(box.dir / "x", "#!/bin/sh\nexit 0\n", 0o750)
        os.chown(program, 0, box.gid)
        conf = box.config(FREE + f"action {program}\n")
        agrees(box, "executable for the user's group", conf, None, 0)
        os.chown(program, 0, box.other.pw_gid)
        agrees(box, "executable for another group", conf, "Permission denied", 126)
        if not shutil.which("setfacl") or subprocess.run(["setfacl", "-m", f"u:{box.name}:rx", program]).returncode:
            skip("conf: -t knows access control lists", "no setfacl")
        else:
            agrees(box, "executable by an access control list", conf, None, 0)


# ---- Users and state ----


def other_users():
    """What an ordinary user cannot see he says."""
    if not is_root():
        skip("conf: -t as an ordinary user", "not root")
        return
    with Sandbox() as box:
        conf = box.config(FREE + f"user {box.other.pw_name}\naction /bin/true\n")
        program = box.bring(NMNOTIFY)
        for who, wanted in ((box.name, "is not the running user: what .* may execute can only root check"), (box.other.pw_name, None)):
            entry = pwd.getpwnam(who)
            result = subprocess.run(
                [program, "-t", "-f", conf], capture_output=True, text=True, env={}, cwd="/",
                user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
            )  # fmt: skip
            lines = [line for line in result.stderr.splitlines() if "state: " not in line]
            good = result.returncode == EX_OK and (len(lines) == 1 and re.search(wanted, lines[0]) if wanted else not lines)
            ok(good, f"conf: -t of another user's account: {who}") or nmtest.diag(result.stderr)


def state():
    with Sandbox() as box:
        d = box.dir
        (d / "plain").write_text("")
        (d / "link").symlink_to(box.state_dir)
        (d / "open").mkdir()
        (d / "open").chmod(0o777)
        action = "action /bin/true\n"
        cases = [
            ("a new directory", d / "new", None, 0),
            ("a file", d / "plain", r"state: .*/plain is a file, not a directory$", EX_OSERR),
            ("a symlink", d / "link", "is a symlink, not a directory$", EX_OSERR),
            ("a directory that others may write", d / "open", "others than its owner may write to", EX_OSERR),
            ("two directories to make", d / "p" / "q", f"cannot be made: {d}/p/: No such file or directory$", EX_OSERR),
            ("a file above", d / "plain" / "q", "Not a directory", EX_OSERR),
            ("a name that is too long", d / ("x" * 300), "File ?name too long", EX_OSERR),
            ("a path that is too long", "/" + "x/" * 2100, "state: the path is too long", EX_OSERR),
        ]
        if is_root():
            (d / "others").mkdir()
            os.chown(d / "others", box.other.pw_uid, -1)
            cases.append(("somebody else's", d / "others", "who is neither root nor the accounts' user$", EX_OSERR))
        for name, path, wanted, status in cases:
            agrees(box, f"state: {name}", box.config(f"state {path}\n{FREE}{action}"), wanted, status)
        conf = box.config(FREE + action)
        status, out, _ = box.check("-t", "-f", conf)
        equal((status, out), (0, f"state {box.state_dir} (from the configuration)\n"), "conf: -t: the state's directory")
        bare = d / "bare.conf"
        bare.write_text(re.sub(r"^state.*\n", "", conf.read_text(), flags=re.MULTILINE))
        status, out, _ = box.check("-t", "-f", bare)
        equal((status, out), (0, f"state {box.state_dir} (from RUNTIME_DIRECTORY)\n"), "conf: -t: ... of the super-server")
        ok(not (d / "new2").exists() and box.check("-t", "-f", conf, "-o", f"state {d}/new2")[0] == 0, "conf: -t -o state")
        ok(not (d / "new2").exists(), "conf: -t makes nothing")


# ---- Warnings ----


def warnings():
    """What is probably not meant runs all the same."""
    shell = "only a shell understands"
    with Sandbox() as box:
        head = box.config("").read_text().count("\n")
        for name, text, wanted in (
            ("&&", "action /bin/true -a && notmuch new\n", [f"4: warning: action: '&&': {shell} that: write /bin/sh -c"]),
            ("a redirection", "action /bin/true 2>&1 >/dev/null\n", [f"4: warning: action: '2>&1': {shell}", f"4: warning: action: '>/dev/null': {shell}"]),
            ("a pipe", "action /bin/true | cat\n", ["'|': " + shell]),
            ("a variable", "action /bin/true $HOME/x\n", [r"'\$HOME/x': " + shell + r" '\$'"]),
            ("${x}, $(x), `x`", "action /bin/true ${x} $(x) `x`\n", [shell] * 3),
            ("a tilde", "action /bin/true -c ~/.mbsyncrc --rc=~/x\n", [f"'~/.mbsyncrc': {shell} '~': write the absolute path", "'--rc=~/x'"]),
            ("wildcards", "action /bin/true *.c a? {a,b}\n", [shell] * 3),
            ("a typographic quote", "action /bin/true \u201ca b\u201d\n", [r"'\\xe2\\x80\\x9ca' has a typographic quote", r"'b\\xe2\\x80\\x9d' has"]),
            ("quoted words", "action /bin/true '&&' \"$HOME\" \\* 'a;b' '~'\n", []),
            ("ordinary words", "action /bin/true -q --x=y a@b:c,d+e%f # * &&\n", []),
            ("sh -c", "action /bin/sh -c 'true && true' $x\n", []),
            ("sh -c, unquoted", "action /bin/sh -c true && true\n", ["'&&': " + shell]),
            ("a variable in env", "env A=$HOME/x B=~/x C='$x' D=a$ \naction /bin/true\n", [r"'A=\$HOME/x': nothing is expanded", "'B=~/x': nothing", r"'D=a\$'"]),
            ("a fetcher without a network", f"confine local\naction {script(box.dir / 'mbsync', '#!/bin/sh' + chr(10))}\n", ["reaches no mail server under 'confine local'"]),
            ("an address that nobody has", "account a\nfrom 0.0.0.0 ::\nto 0.0.0.0 ::\naction /bin/true\n", [
                "5: warning: from: '0.0.0.0': it is one address, which nobody has: write 'any' for every source, or 0.0.0.0/0 for all of IPv4",
                "5: warning: from: '::': .* or ::/0 for all of IPv6",
                "6: warning: to: '0.0.0.0': it is one address, which no connection is to: leave out 'to' for every local address, or 0.0.0.0/0",
                "6: warning: to: '::': .* or ::/0 for all of IPv6",
            ]),
            ("a network that is written as an address", "account a\nfrom 192.0.2.0 172.16.0.0 2001:db8::\naction /bin/true\n", [
                f"from: '{word}': it is one address: if its network is meant, write {word}/{bits}"
                for word, bits in (("192.0.2.0", 24), ("172.16.0.0", 16), ("2001:db8::", 64))
            ]),
            ("the same, meant", "account a\nfrom 0.0.0.0/32 ::/128 192.0.2.0/32 2001:db8::/128 192.0.2.128 ::1 0.0.0.0/0\naction /bin/true\n", [
                f"'{word}' says nothing new" for word in ("0.0.0.0/32", "192.0.2.0/32", "192.0.2.128")
            ]),
            ("a short timeout", "timeout 5ms\naction /bin/sh -c ''\n", ["the action is ended after 5ms"]),
        ):  # fmt: skip
            conf = box.config(FREE + text)
            status, said = check(box, conf)
            wanted = [re.sub(r"^([456]): ", lambda m: f"{head + int(m[1])}: ", w) for w in wanted]
            good = status == EX_OK and len(said) == len(wanted) and all(
                "warning: " in s and re.search(w.replace("|", r"\|"), s) for s, w in zip(said, wanted)
            )
            ok(good, f"conf: -t: {name}: {len(wanted)} warnings") or nmtest.diag(f"{status} {said}")


def shadows():
    """Who is never reached, and whose shadow he is in."""
    cases = [
        (["from any", "from local"], ["account b is never reached: account a (line 1) takes all of it first"]),
        (["from 192.0.2.1", "from 192.0.2.1"], ["account b is never reached: account a (line 1) takes all of it first"]),
        (["from 192.0.2.0/24", "from 192.0.2.128/25 192.0.2.7"], ["account b is never reached: account a (line 1) takes all of it first"]),
        (["from 192.0.2.0/24", "from 192.0.2.7 192.0.3.7"], ["from: '192.0.2.7' of account b is never reached: account a (line 1) takes it first"]),
        (["from 192.0.2.7", "from 192.0.2.0/24"], []),
        (["from ::ffff:192.0.2.0/120", "from 192.0.2.7"], ["account b is never reached: account a (line 1) takes all of it first"]),
        (["from 0.0.0.0/0 ::/0 local", "from any"], []),  # several words together: not looked for
        (["from 0.0.0.0/0", "from ::1"], []),
        (["from fe80::%1/64", "from fe80::1"], []),
        (["from fe80::/64", "from fe80::1%1"], ["account b is never reached: account a (line 1) takes all of it first"]),
        (["from any\nto 192.0.2.1", "from any"], []),
        (["from any", "from any\nto 192.0.2.1"], ["account b is never reached: account a (line 1) takes all of it first"]),
        (["from any\nto 192.0.2.1", "from any\nto 192.0.2.2"], []),
        (["from any\nto 192.0.2.0/24", "from ::1\nto 192.0.2.2 ::1"], ["to: '192.0.2.2' of account b is never reached: account a (line 1) takes it first"]),
        (["from any\nto 192.0.2.1", "from any\nto 192.0.2.2", "from 192.0.2.9\nto 192.0.2.1 192.0.2.2"], ["account c is never reached: account a (line 1) takes all of it first"]),
        (["from 192.0.2.1 192.0.2.1"], ["from: '192.0.2.1' says nothing new: '192.0.2.1' on the same line takes it"]),
        (["from 192.0.2.1 any"], ["from: '192.0.2.1' says nothing new: 'any' on the same line takes it"]),
        (["from any\nto ::1 ::/0"], ["to: '::1' says nothing new: '::/0' on the same line takes it"]),
        (["from 192.0.2.1 192.0.2.2", "from 192.0.2.3"], []),
    ]  # fmt: skip
    first = "account b is never reached: account a (%s) takes all of it first"
    with Sandbox() as box:
        conf = box.config("from any\naction /bin/true\naccount b\n")
        _, said = check(box, conf, "-o", "account a", "-o", "from any")
        equal([re.sub(r"^\d+: warning: ", "", s) for s in said], [first % "-o:1"], "conf: -t: shadows: of an account of -o")
        head = box.config("action /bin/true\n").read_text().count("\n")
        for accounts, wanted in cases:
            text = "action /bin/true\n" + "".join(f"account {n}\n{a}\n" for n, a in zip("abc", accounts))
            status, said = check(box, box.config(text))
            said = [re.sub(r"^\d+: warning: ", "", s) for s in said]
            wanted = [w.replace("(line 1)", f"(line {head + 1})") for w in wanted]
            equal((status, said), (EX_OK, wanted), f"conf: -t: shadows: {' / '.join(accounts)}".replace("\n", ", "))


# ---- The file as an editor leaves it ----


def editors():
    good = FREE + "action /bin/true\n"
    crlf = "lines end in CR LF, as on Windows: save the file with LF alone, or convert it with dos2unix"
    with Sandbox() as box:
        text = box.config(good).read_text()
        n = text.count("\n")
        for name, data, wanted in (
            ("a byte order mark", b"\xef\xbb\xbf" + text.encode(), [r"1: a byte order mark at the beginning, '\xef\xbb\xbf': save the file without"]),
            ("CR LF", text.replace("\n", "\r\n").encode(), [f"1: {crlf}"]),
            ("CR LF on one line", text.encode() + b"# x\r\n", [f"{n + 1}: {crlf}"]),
            ("CR LF and a mistake", (text + "nonsense\n").replace("\n", "\r\n").encode(), [f"1: {crlf}", f"{n + 1}: there is no keyword 'nonsense': nmnotify.conf(5) has them all"]),
            ("CR at the end of the file", text.encode() + b"bare-lf no\r", [f"{n + 1}: {crlf}"]),
            ("CR alone", text.replace("\n", "\r").encode(), [r"1: a control character, '\x0d': remove it"]),
            ("UTF-16", text.encode("utf-16"), [" the file is UTF-16: save it as UTF-8, without a byte order mark"]),
            ("UTF-16 without a mark", text.encode("utf-16-le"), ["1: a NUL byte: save the file as text, in UTF-8"]),
            ("a NUL", text.encode() + b"\0\n", [f"{n + 1}: a NUL byte: save the file as text, in UTF-8"]),
            ("a no-break space of Latin-1", text.encode() + b"bare-lf\xa0no\n", [f"{n + 1}: there is no keyword 'bare-lf\\xa0no': it has a no-break space, where a space is meant"]),
        ):  # fmt: skip
            conf = box.dir / "edited.conf"
            conf.write_bytes(data)
            equal(check(box, conf), (EX_CONFIG, wanted), f"conf: -t: {name}")
            box.forget_log_limits()
            before = len(box.log())
            equal(box.connect_and_run(conf, args=["-o", "log stderr"]), EX_CONFIG, f"conf: {name}: does not run")
            equal(len(box.log()), before + 1, f"log: {name}: one line")


def terminal():
    """Somebody who types it sees what is wrong; the other end does not."""
    with Sandbox() as box:
        conf = box.config("interval x\nnonsense\n")
        _, said = check(box, conf)
        for name, env, wanted in (
            ("typed", {}, [f"{conf}:{s}" for s in said]),
            ("a terminal that socat has made for the other end", {"SOCAT_PEERADDR": "192.0.2.1"}, None),
        ):
            pid, fd = pty.fork()
            if pid == 0:
                os.execve(NMNOTIFY, ["nmnotify", "-f", str(conf), "-o", "log syslog"], {**box._environment, **env})
            out = b""
            while select.select([fd], [], [], nmtest.PATIENCE)[0]:
                try:
                    got = os.read(fd, 4096)
                except OSError:
                    break
                if not got:
                    break
                out += got
            os.close(fd)
            equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), EX_CONFIG, f"status: conf: {name}")
            equal(out.decode().split("\r\n")[:-1], wanted or [], f"conf: {name}: what standard error gets")


# ---- pass ----


def passing():
    with Sandbox() as box:
        action = f"action {box.recorder('facts=facts')}\n"
        starter = {
            **box._environment, "GNUPGHOME": "/g", "A": "starter", "B": "starter", "EMPTY": "", "SECRET": "s", "C": "c",
        }  # fmt: skip
        conf = box.config(FREE + f"pass GNUPGHOME A B EMPTY UNSET\nenv B=env\naccount a\npass C\n{action}account b\nfrom any\n{action}")
        equal(box.connect_and_run(conf, env=starter), 0, "conf: pass: runs")
        facts = {f for f in (box.out / "facts").read_text().splitlines() if f.startswith("env ")}
        ok({"env GNUPGHOME=/g", "env A=starter", "env EMPTY=", "env C=c"} <= facts, "conf: pass: what is set comes through")
        ok("env B=env" in facts and "env B=starter" not in facts, "conf: env stands over pass")
        ok(not any(f.startswith(("env UNSET", "env SECRET")) for f in facts), "conf: pass: and nothing else")
        other = box.config(FREE + f"account a\nfrom 192.0.2.1\npass C\n{action}account b\n{action}")
        box.connect_and_run(other, env=starter)
        ok("env C=c" not in (box.out / "facts").read_text(), "conf: pass: an account's own is its own")
        for name in (
            "TCPREMOTEHOST", "TCPREMOTEINFO", "TCPLOCALIP", "REMOTE_ADDR", "REMOTE_HOST", "SSL_CLIENT_DN", "LD_PRELOAD",
            "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "GCONV_PATH", "BASH_ENV", "ENV", "IFS", "PERL5OPT", "PYTHONPATH",
            "LISTEN_FDS", "NOTIFY_SOCKET", "WATCHDOG_USEC", "MAINPID", "PATH", "HOME", "NMNOTIFY_SOURCE",
        ):  # fmt: skip
            status, said = check(box, box.config(FREE + f"pass {name}\naction /bin/true\n"))
            ok(status == EX_CONFIG and len(said) == 1 and f": pass: '{name}': " in said[0], f"conf: pass: {name} is refused") or nmtest.diag(said)
        for word, wanted in (
            ("A=1", "pass: 'A=1' has a value: write 'env NAME=value', or the name alone for the starter's"),
            ("$A", "pass: '$A' is not the name of a variable, such as GNUPGHOME"),
            ("*", "pass: '*' is not the name of a variable, such as GNUPGHOME"),
        ):
            status, said = check(box, box.config(FREE + f"pass {word}\naction /bin/true\n"))
            ok(status == EX_CONFIG and len(said) == 1 and said[0].endswith(f": {wanted}"), f"conf: pass {word}") or nmtest.diag(said)
        names = [f"A{i}" for i in range(128)]
        equal(check(box, box.config(FREE + f"pass {' '.join(names)}\naction /bin/true\n")), (0, []), "conf: pass: as many as there is room for")
        status, said = check(box, box.config(FREE + f"pass {' '.join(names)} X\naction /bin/true\n"))
        ok(status == EX_CONFIG and said[0].endswith("pass: 'X' is one too many: 128 names in all is the most"), "conf: pass: one more")


# ---- User namespaces ----


def namespaces():
    """A file of a user whom this namespace does not know."""
    unshare = shutil.which("unshare")
    with Sandbox() as box:
        conf = box.config(FREE + "user nobody\naction /bin/true\n")
        command = [unshare, "-U", "-r", box.bring(NMNOTIFY), "-t", "-f", conf] if unshare else None
        how = {"user": box.uid, "group": box.gid, "extra_groups": []} if is_root() else {}
        if not unshare or not is_root() or subprocess.run([unshare, "-U", "-r", "true"], **how, cwd="/").returncode:
            skip("conf: in a user namespace", "needs root, and namespaces for others")
            return
        result = subprocess.run(command, capture_output=True, text=True, env={}, cwd="/", **how)
        wanted = f"{conf}: its owner is not known in this user namespace"
        ok(result.returncode == EX_CONFIG and result.stderr.startswith(wanted), "conf: -t in a user namespace") or nmtest.diag(result.stderr)


nmtest.run(
    programs, loaders, mounts, access_lists, other_users, state, warnings, shadows, editors, terminal, passing, namespaces,
)  # fmt: skip
