#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""seeds.py DIRECTORY: what each fuzz target begins with, a folder for each.

What the first bytes mean is said at the top of the target. Without seeds a fuzzer would find its way
as well, but not in the seconds that `make check` gives it."""

import random
import struct
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
LINE = b"nm_notifyuser\r\n"
BARE = b"nm_notifyuser\n"


def piece(data):
    return bytes([len(data)]) + data


def redis():
    """Answers to what redis.c asks: greeting, login, look, claim, release, look."""
    fine = b"+OK\r\n:1\r\n*2\r\n$9\r\n192.0.2.7\r\n$11\r\n2001:db8::1\r\n:0\r\n:1\r\n*0\r\n"
    yield b"\xff" + fine
    yield b"\x00" + fine
    yield b"\x07" + fine.replace(b":0", b":5000")
    yield b"\xff-NOAUTH Authentication required.\r\n"
    yield b"\xff" + fine.replace(b"*2\r\n$9\r\n192.0.2.7\r\n$11\r\n2001:db8::1\r\n", b"-WRONGTYPE Operation\r\n")
    yield b"\xff+OK\r\n:1\r\n$-1\r\n*-1\r\n"
    for count in (8, 9):
        yield b"\xff+OK\r\n:1\r\n*%d\r\n" % count + b"$9\r\nfe80::1%1\r\n" * count


def line():
    """How, two bytes of where pieces end, the bytes."""
    for how in (0, 1, 2, 3, 4, 5, 6, 8, 12, 0x50, 0x52):
        for cuts in (b"\x00\x00", b"\x10\x20", b"\xff\xff"):
            for text in (LINE, BARE, LINE + b"x", LINE[:-1], b"x" * 20, b"", LINE + LINE):
                yield bytes([how]) + cuts + text


def names():
    """A name; or an answer: id, wrong, count, time to live, nothing, and addresses with bits, scope and bytes."""
    for name in (b"a.test", b"A-1_b.Test.", b"127.1", b".".join([b"a" * 63] * 3 + [b"b" * 61]), b"a..b", b"-", b"x" * 64):
        yield b"\x01" + name
    four, six, link = (
        struct.pack("=II16s", 32, 0, bytes([192, 0, 2, 1])),
        struct.pack("=II16s", 128, 0, bytes([0x20, 1, 0x0D, 0xB8])),
        struct.pack("=II16s", 128, 2, bytes([0xFE, 0x80]) + bytes(13) + b"\x01"),
    )
    for wrong, lives, *addresses in ((0, 60, four), (0, 60, four, six), (0, 1 << 31, link, six, four), (0, 9, *[six] * 16), (1, 0), (9, 0)):
        head = struct.pack("=QIIII", 7, wrong, len(addresses), lives, 0)
        yield b"\x00" + head + b"".join(addresses).ljust(16 * 24, b"\0")


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
    for name in (b"_a", b"-a", b".a", b"..", b"a_b-c.d", b"a/b", b"0"):
        yield head + b"from any\naccount " + name + b"\n"
    yield head + b"from any\n" + b"env A=b\n" * 600
    yield head + b"from any\n" + b"".join(b"account a%d\n" % i for i in range(70))
    yield b"user nobody\nfrom any\naction /bin/true" + b" x" * 254 + b"\n"
    yield b"from any\0"
    # What there is advice about.
    for word in (b"0.0.0.0", b"::", b"192.0.2.0", b"192.0.2", b"10/8", b"192.0.2.0/255.255.255.0", b"192.0.2.1-192.0.2.9",
                 b"[::1]:79", b"mail.example.org", b"!::1", b"fe80::1%x", b"2001:db8", b"a@b", b"\xe2\x80\x9cany\xe2\x80\x9d"):  # fmt: skip
        yield head + b"from " + word + b"\nto " + word + b"\n"
    for words in (b"a && b > c | d", b"~/x $HOME *.c {a,b}", b"'a && b", b"a \\", b"\xe2\x80\x9ca"):
        yield b"user nobody\nfrom any\naction /bin/true " + words + b"\n"
    yield head + b"pass GNUPGHOME PATH LD_PRELOAD A=1\nenv A=$B C=~ 'D=$E'\nfrom any ::1 ::1\n"
    yield head + b"account a\nfrom any\naccount b\nfrom ::1 192.0.2.0/24\nto ::1\naccount a\nlog auto\nfrom any\nfrom any\n"
    yield b"-o account a\n-o from any\n" + head + b"account b\nfrom ::1\n"
    yield b"\xef\xbb\xbf" + head.replace(b"\n", b"\r\n") + b"from any\r\n"
    yield b"\xff\xfe" + b"from any\n"
    yield b"account default\nfrom\xff any\n\taction /x \\\n"


def executable():
    yield b"#!/bin/sh\nexit 0\n"
    yield b"#! \t/bin/sh \t-e\n"
    yield b"#!/bin/sh\r\n"
    yield b"#!/proc/self/fd/99\n"
    yield b"#!"
    yield b"#!/" + b"x" * 300
    yield b"echo hello\n"
    # This machine's own program, as far as its segments and the loader's name.
    program = Path(sys.executable).read_bytes()[:1024]
    for length in (1024, 64, 63, 16, 4):
        yield program[:length]


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
    yield b"alice\n" + table + b"\0" + b"g:x:5:" + b"x" * 70000 + b",alice\n"


def operation(number, of, account=0, flag=0):
    """A byte that is this operation of so many, with the bits of network.c's step()."""
    return bytes([next(b for b in range(256) if b % of == number and b >> 7 == account and b >> 6 & 1 == flag)])


def network():
    def do(number, account=0, flag=0):
        return operation(number, 12, account, flag)

    def connect(source, data):
        return do(0) + bytes([source]) + piece(data)

    def send(client, data):
        return do(1) + bytes([client]) + piece(data)

    def datagram(sender, data):
        return do(7) + bytes([sender]) + piece(data)

    wait, full, here, look, last = do(4) + b"\xff", do(5), do(9), do(10), b"\0"
    for source in range(6):
        account = source == 3
        yield connect(source, LINE) + do(6, account, 1) + connect(source, LINE) + last
        yield connect(source, LINE) + do(10, account) + connect(source, LINE) + do(6, account) + last
        yield connect(source, LINE[:5]) + send(0, LINE[5:]) + do(6, account, 1) + connect(source, BARE) + last
    yield datagram(0, LINE) + datagram(1, b"x") + datagram(2, LINE + b"x") + do(6, 0, 1) + datagram(1, LINE) + last
    yield here + piece(BARE) + here + piece(LINE) + here + piece(b"") + wait * 2 + last
    yield connect(0, b"nm") * 20 + wait * 3 + last
    yield (here + piece(b"nm")) * 20 + wait * 3 + last
    yield full + connect(0, LINE) + datagram(0, LINE) + full + do(4) + b"\1" + do(6, 0, 1) + last
    yield full + connect(0, LINE) + full + wait + do(6, 0, 1) + full + connect(0, b"x\n") + last
    # A start that leaves the open request's process nothing to start.
    yield connect(0, LINE) + do(8) + do(8) + connect(0, LINE) + look + connect(1, LINE) + do(6) + last
    # A waiter that starts the action; one that dies, which somebody without a line finds out first.
    yield do(8) + connect(0, LINE) + do(8) + connect(0, b"x\n") + do(6, 0, 1) + connect(0, LINE) + last
    yield do(8) + connect(0, LINE) + do(8, 0, 1) + connect(0, b"x\n") + connect(1, LINE) + do(6, 0, 1) + last


def request():
    def turn(flags=0x10, allowed=5):
        return bytes([11, flags, allowed])

    def end(how, process=0):
        return bytes([how]) + process.to_bytes(4, "little")

    killed, ended, time, no_fork, no_confine, due, owed = 4, 5, 6, 7, 8, 9, 10
    log, alive, last = 2, 3, b"\0"
    yield turn() + end(ended) + turn(0x34) + end(killed, 1) + end(ended, 2) + last
    yield turn() + end(killed) + end(ended, 1) + bytes([time, 200]) + last
    yield bytes([no_fork]) + turn() + bytes([no_fork]) + turn(0) + last
    yield bytes([no_confine]) + turn() + turn(0) + end(ended, 1) + end(ended, 0) + last
    yield bytes([no_confine]) + turn(0) + end(killed) + last
    yield bytes([log, 0x80, log, 0x93, alive, 9]) + last
    yield bytes([due, 5, 0, 0, 0, owed, 1, 0, 0, 0]) + turn(0) + end(killed) + end(ended, 1) + last
    yield turn() * 600 + b"".join(end(ended, n) for n in range(50)) + last
    yield b"".join(bytes([0, 64, kind]) + bytes(63) for kind in range(5)) + last
    # The words of struct request that the runner uses: account, verdict, and the source's kind.
    for kind in range(3):
        for word in (1, 7, 9):
            for value in (3, 7, 255):
                words = [kind, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
                words[word] = value
                yield bytes([0, 56]) + b"".join(w.to_bytes(4, "little") for w in words) + last


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
    # The bounds of compile.c: values of a condition, conditions of a line, words of a line.
    yield b"\0" + head + b"allow read arg0 == 0|1|2|3|4|5|6|7|8\n"
    yield b"\0" + head + b"allow read arg0 == 0 and arg1 == 1 and arg2 == 2 and arg3 == 3\n"
    yield b"\0" + head + b"allow" + b" read" * 16 + b"\n"
    yield b"\0" + head + b"allow read arg0 == 7\n" * 1100
    yield b"\0" + head + b"allow socket arg0 == 16 and arg2 == 0\nallow sendto arg4 == NULL\ninclude x\n"
    for path in (PROJECT / "src" / "policy").glob("*.policy"):
        yield b"\0" + head + b"".join(
            text for text in path.read_bytes().splitlines(True) if not text.startswith((b"include", b"newest", b"others"))
        )


def event():
    notices = (b"mail alice", b"early a b", b"login alice 192.0.2.7", b"login a b ::ffff:192.0.2.7", b"login a fe80::1%1", b"mail ")
    for text in (*notices, b"login alice", b"mail " + b"x" * 254, b"early " + b"x" * 255, b"mail a\n"):
        yield b"\0" + text
    biff = (b"alice@0\0", b"alice@-1\n\0", b"alice@1110:/var/mail/a@1", b"a@b@1", b"@1", b"alice@", b"alice@1x", b"a\n@1")
    for text in biff:
        yield b"\1" + text
    event = b"external\0EVENT\0\0\0\x000\0"
    yield b"\2external\0MAIL\0\0alice\0INBOX\x000\0From: x\n\0"
    yield b"\2external\0MAIL\0\0alice\0INBOX\x002\0a\0b\0\0"
    yield b"\2" + event + b'{"event":"MessageNew","user":"alice","x":[1,2.5,null,{"y":true}]}\0'
    yield b"\2" + event + b'{"event":"Login","service":"imap","clientIP":"::ffff:192.0.2.7","user":"\\u00e9"}\0'
    yield b"\2" + event + b'{"event":"MessageNew","user":"a\\u0000"}\0'
    yield b"\2" + event + b"[" * 3000 + b"\0"
    proxied = (b"1000 100 1764265241 999999999 mail alice", b"4294967295 0 0 00 login a 192.0.2.7", b"1 1 1 1mail", b"1 1 1 1 ")
    for text in proxied:
        yield b"\4from " + text
    for text in (b"status\n", b"status\nx", b"user alice\n", b"user \xff\xc3\xbc\"\\ a\n", b"user \n", b"user a", b"user " + b"a" * 254 + b"\n",
                 b"user " + b"a" * 255 + b"\n"):
        yield b"\3" + text


def relay_conf():
    yield b"user alice 192.0.2.7 [2001:db8::7]:7979\nuser bob last\nuser carol last 3\nuser *@lists.example.org none\nuser * last 192.0.2.9\n"
    yield b"-o user dora home.dora.example.org\n-o port 7979\ntable lmdb:/etc/nmnotify/users\n"
    yield (
        b"# all of it\nsocket /run/x\nbiff 127.0.0.1:512\ncyrus /run/y\nstore redis://h:1/2\npassword-file /p\n"
        b"trust root 8 :mail\nstrip-domain mx.test\nnever default 10.0.0.0/8 2001:db8::/32\nsettle 2s\ninterval 5s\n"
        b"timeout 10s\nkeep 1h\nlast-for 30d\nmost 4096\nusers 1000000\nport 79\nprotocol udp\nsource 127.0.0.1 ::1\n"
        b"log stderr\nidle 60s\nstate /var/x\nuser alice 192.0.2.7 last:80 8 fe80::1%1 x.example:7\n"
    )
    for word in (b"192.0.2.256", b"[::1", b"fe80::1", b"a@b", b"1,2", b"last 9", b"none none", b"x" * 64, b"3", b"LAST", b"::", b"a..b"):
        yield b"user a " + word + b"\n"
    yield b"user * last\nuser a none\nuser a*b last\nuser *a*b* none\ntable lmdb:/x\n"
    yield b"".join(b"user u%d@x.example last 192.0.2.1\n" % i for i in range(300)) + b"user u* none\n"
    yield b"user " + b"*a" * 100 + b" last\nuser " + b"x" * 255 + b" none\n"
    yield b"strip-domain *.x\nnever any\nsource x\nbiff 1.2.3.4:5\ntrust :\nstore x\n"


def sender():
    glibc = b"".join(b"%s     %s\n" % (a, t) for a in (b"2001:db8::7", b"192.0.2.7") for t in (b"STREAM x", b"DGRAM", b"RAW"))
    for kind in range(4):
        for text in (b"alice", b"a b@example.org", b"192.0.2.7:79", b"[2001:db8::7]:7979", b"fe80::1%1", b"home.example.org:79"):
            for printed in (b"", glibc, b"192.0.2.7\n", b"::ffff:192.0.2.7\nx\n", b"192.0.2.7"):
                yield bytes([kind]) + text + b"\0" + printed
        yield bytes([kind]) + b"x" * 507 + b"\0" + b"".join(b"192.0.2.%d\n" % i for i in range(40))


def owed():
    rng = random.Random(1)
    for kind in (0, 2, 3):
        for length in (50, 200, 800, 2000):
            yield bytes([kind]) + rng.randbytes(length)
    # A letter in the first slot with too great a length; one whose length a death left out; and one that was being emptied.
    yield b"\x03\x01" + (8).to_bytes(4, "little") + b"\x03\xff\xff\0\0" + (88).to_bytes(4, "little") + b"\x03mail"
    for text in (b"mail alice", b"\0ail alice", b"alice@0\n\0", b"x" * 200):
        yield b"\x03\x01" + (88).to_bytes(4, "little") + bytes([len(text) - 1]) + text


def logins():
    lines = (
        b"imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=1, session=<x>",
        b"imap-login: Logged in: user=<x>, method=PLAIN, rip=192.0.2.66, lip=1>, method=PLAIN, rip=2001:db8::7, lip=::1",
        b"LOGIN, user=alice, ip=[::ffff:192.0.2.7], port=[42107], protocol=IMAP",
        b"LOGIN, user=alic..., ip=[192.0.2.7], port=[1, ip=[192.0.2.66], port=[2]",
        b"login: home.example.org [192.0.2.7] alice plaintext User logged in SESSIONID=<x>",
        b"Login user=alice host=home.example.org [192.0.2.7]",
    )
    installed = (PROJECT / "units" / "nmnotify-relay-logs.conf").read_bytes()
    small = b"server x\nfield _UID=0\nmessage 'a%u,%*;%a,%*'\nmessage 'LOGIN, user=%u, ip=[%a], port=[%*'\n"
    for text in lines:
        yield text + b"\0" + installed
        yield text + b"\0" + small
    yield b"aaa,,;;::1,,\0" + small
    for wrong in (b"%u%a.", b"x%u", b"x%u,%a", b"x%q", b"%u.%a.", b"x%"):
        yield b"x\0server x\nfield _UID=0 x=\nmessage '" + wrong + b"'\nserver x\n"


def main():
    base = Path(sys.argv[1])
    for target in (line, conf, executable, source, connection, users, network, request, state, policy, sender, event, names, relay_conf, redis, owed, logins):
        folder = base / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target()):
            (folder / f"seed.{number}").write_bytes(seed)


main()
