#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""seeds.py DIRECTORY: what each fuzz target begins with, a folder for each.

What the first bytes mean is said at the top of the target. Without seeds a fuzzer would find its way
as well, but not in the seconds that `make check` gives it."""

import random
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
LINE = b"nm_notifyuser\r\n"
BARE = b"nm_notifyuser\n"


def piece(data):
    return bytes([len(data)]) + data


def line():
    """How, two bytes of where pieces end, the bytes."""
    for how in (0, 1, 2, 3, 4, 5, 6, 8, 12, 0x50, 0x52):
        for cuts in (b"\x00\x00", b"\x10\x20", b"\xff\xff"):
            for text in (LINE, BARE, LINE + b"x", LINE[:-1], b"x" * 20, b"", LINE + LINE):
                yield bytes([how]) + cuts + text


def conf():
    head = b"user nobody\naction /bin/true\n"
    yield b"from any\nuser nobody\naction /bin/true\n"
    yield b"-o user nobody\n-o limit 12/m burst 6\nfrom local\naction /bin/sh -c 'a b' \"c\\\"d\" e\\ f\n"
    yield (
        b"# all of it\nstate /run/nmnotify\nlog stderr\nidle 1m\nuser nobody\n"
        b"account home\n from 192.0.2.25 2001:db8:25::/48 ::ffff:192.0.2.0/120\n to 2001:db8::79\n"
        b" limit 12/m burst 6\n interval 10s\n timeout 5m\n read-timeout 500ms\n bare-lf yes\n"
        b" user alice\n env A=b 'C=d e'\n confine local\n action /usr/bin/mbsync -q home\n"
        b"account work\n from any\n action /bin/true\n"
    )
    yield b"user nobody\nfrom any\nlimit 1/4194304d burst 4294967295\naction /bin/true\n"
    yield b"user nobody\nfrom any\nlimit 4294967295/604800000ms burst 604799999\naction /bin/true\n"
    yield head + b"from" + b" ::1" * 200 + b"\n"
    # The bounds of conf.h: networks, words, names.
    many = b"".join(b"account a%d\nfrom%s\n" % (i, b" ::" * 51) for i in range(20))
    for count in (3, 4, 5):
        yield head + b"from any\n" + many + b"account z\nfrom" + b" ::" * count + b"\n"
    many = b"".join(b"account a%d\naction%s\n" % (i, b" /" * 31) for i in range(63))
    for count in (31, 32, 33):
        yield b"user nobody\nfrom any\n" + many + b"account z\naction" + b" /" * count + b"\n"
    for count in (31, 32, 33):
        yield head + b"from any\naccount " + b"a" * count + b"\n"
    yield head + b"from any\n" + b"env A=b\n" * 600
    yield head + b"from any\n" + b"".join(b"account a%d\n" % i for i in range(70))
    yield b"user nobody\nfrom any\naction /bin/true" + b" x" * 254 + b"\n"
    yield b"from any\0"
    yield b"account default\nfrom\xff any\n\taction /x \\\n"


def source():
    addresses = (
        "192.0.2.25", "2001:db8::1", "::", "::1", "::ffff:192.0.2.1", "fe80::1%lo", "fe80::1%1", "1:2:3:4:5:6:7:8",
        "1:0:0:2:0:0:0:3", "fe80::1%0", "::1%lo", "1.2.3", "01.2.3.4", "1::2::3", "any", "local", "",
    )
    for address in addresses:
        for prefix in ("", "/0", "/8", "/24", "/32", "/64", "/96", "/120", "/128", "/129", "/x"):
            yield (address + prefix).encode() + b"\0\1" + bytes(range(16)) + b"\1"
    for kind in range(4):
        yield b"2001:db8::/32\0" + bytes([kind, 0x20, 0x01, 0x0D, 0xB8]) + bytes(11)
        yield b"192.0.2.0/24\0" + bytes([kind]) + bytes(10) + b"\xff\xff\xc0\x00\x02\x01"


def connection():
    yield b"TCPREMOTEIP=192.0.2.1\nTCPLOCALIP=::1\n"
    yield b"REMOTE_ADDR=::ffff:1.2.3.4\nRUNTIME_DIRECTORY=/run/a:/run/b\nXDG_RUNTIME_DIR=/run/user/1\n"
    yield b"REMOTE_ADDR=/run/socket\nUSER=a\nHOME=/h\nSHELL=/bin/sh\n"
    yield b"TCPREMOTEIP=\nUSER=" + b"a" * 300 + b"\nRUNTIME_DIRECTORY=/" + b"r" * 300 + b"\n"


def users():
    table = b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:,,:/home/alice:\nbob:x:07:4294967295:::\n"
    groups = b"root:x:0:\nusers:x:100:bob,alice\nalice:x:1000:alice\nmany:x:2:al,alic,alicee,alice\n"
    for name in (b"alice", b"root", b"bob", b"", b"nobody", b"/" * 255, b"/" * 256):
        yield name + b"\n" + table + b"\0" + groups
    yield b"alice\n" + table + b"\0" + b"".join(b"g:x:%d:alice\n" % i for i in range(300))
    yield b"alice\n" + table + b"\0" + b"g:x:5:" + b"x" * 70000 + b"\n"


def network():
    """Operations: their numbers are in step()."""
    for source in range(6):
        yield bytes([0, source]) + piece(LINE) + bytes([4, 9, 6, 0])
        yield bytes([0, source]) + piece(LINE[:5]) + bytes([1, 0]) + piece(LINE[5:]) + bytes([6, 134, 0])
    yield b"\x07\x00" + piece(LINE) + b"\x07\x01" + piece(b"x") + b"\x07\x02" + piece(LINE + b"x") + b"\x06\0"
    yield b"\x09" + piece(BARE) + b"\x09" + piece(LINE) + b"\x09" + piece(b"") + b"\x04\xff\x04\xff\0"
    yield b"".join(bytes([0, 0]) + piece(b"nm") for _ in range(20)) + b"\x04\xff" * 3 + b"\0"
    yield b"".join(bytes([9]) + piece(b"nm") for _ in range(20)) + b"\x04\xff" * 3 + b"\0"
    # A runner that is full, a waiter that comes and dies.
    yield b"\x05\x00\x00" + piece(LINE) + b"\x07\x00" + piece(LINE) + b"\x05\x04\x01\x06\0\0"
    yield b"\x08\x00\x00" + piece(LINE) + b"\x48\x00\x00" + piece(b"x\n") + b"\x06\x00\x00" + piece(LINE) + b"\0"


def request():
    yield bytes([11, 0x10, 5, 5, 0, 0, 0, 0, 11, 0x34, 0, 4, 0, 0, 0, 0, 0])
    yield bytes([11, 0x10, 0, 4, 0, 0, 0, 0, 5, 1, 0, 0, 0, 6, 200, 0])
    yield bytes([7, 11, 0x10, 0, 7, 8, 11, 0x10, 0, 5, 0, 0, 0, 0, 8, 0])
    yield bytes([2, 0x80, 2, 0x93, 3, 9, 9, 5, 0, 0, 0, 10, 1, 0, 0, 0, 11, 0x0, 0, 4, 0, 0, 0, 0, 0])
    yield b"".join(bytes([0, 64]) + bytes([kind]) + bytes(63) for kind in range(5))


def state():
    """Worlds that are as random as corrupt.c's."""
    chance = random.Random(4146)
    for _ in range(150):
        yield chance.randbytes(chance.randrange(4, 80))


def policy():
    head = b"newest set_mempolicy_home_node\nothers refuse\n"
    for target in range(6):
        yield bytes([target]) + head + b"allow read\nrefuse ptrace\nenosys clone3\nallow clone arg0 & CLONE_NEW* == 0\n"
        yield bytes([target]) + head + b"allow ioctl arg1 != TIOCSTI|TIOCLINUX\nallow socket arg0 == 1|2\n"
    yield b"\0" + head + b"allow socket arg0 == 16 and arg2 == 0\nallow sendto arg4 == NULL\ninclude x\n"
    for path in (PROJECT / "src" / "policy").glob("*.policy"):
        yield b"\0" + head + b"".join(
            text for text in path.read_bytes().splitlines(True) if not text.startswith((b"include", b"newest", b"others"))
        )


def main():
    base = Path(sys.argv[1])
    for target in (line, conf, source, connection, users, network, request, state, policy):
        folder = base / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target()):
            (folder / f"seed.{number}").write_bytes(seed)


main()
