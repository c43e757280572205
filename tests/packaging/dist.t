#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The tarball: the same bytes wherever, whenever and by whomever it is made, with git or of itself; and so
is what is built of it. Its signature, what is said of what is linked in, and what each version has to have."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from nmtest import BUILD, PROJECT, equal, is_root, ok, run, skip

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
MOMENT = "1700000000"


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def call(folder, *words, umask=0o022, **environment):
    done = subprocess.run(words, cwd=folder, env=ENVIRONMENT | environment, text=True, umask=umask,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stdout}")
    return done.stdout


def dist(folder, out, **how):
    """make dist, of the tree in that folder; the tarball."""
    call(folder, "make", "-s", f"BUILD={out}", "dist", **how)
    return next(Path(out, "dist").glob("nmnotify-*.tar.gz"))


def clone(folder, umask):
    """Of what git tracks here, as it is now."""
    call(PROJECT, "git", "-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", str(PROJECT), str(folder), umask=umask)
    for name in call(PROJECT, "git", "-c", "safe.directory=*", "ls-files", "-z").split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
        (folder / name).chmod((0o777 if os.access(PROJECT / name, os.X_OK) else 0o666) & ~umask)
    call(folder, "git", "add", "--all")
    return folder


def same_bytes():
    if not (PROJECT / ".git").exists() or not shutil.which("git"):
        skip("the tarball: the same bytes from a clone", "no git here")
        return
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        one = clone(scratch / "one", 0o022)
        two = clone(scratch / "another/with/a/longer-name", 0o077)
        (two / "build").mkdir()
        (two / "never-added").write_text("not tracked\n")
        first = dist(one, scratch / "out")
        os.utime(two / "Makefile", (1, 1))
        second = dist(two, two / "build", umask=0o077, TZ="Pacific/Auckland", LC_ALL="C")
        equal(digest(second), digest(first), "the tarball: the same bytes from another directory, umask, time and time zone")
        with tarfile.open(first) as tar:
            members = tar.getmembers()
            tar.extractall(scratch)
        names = [member.name for member in members]
        equal(names, sorted(names), "the tarball: names in order")
        equal({(m.uid, m.gid, m.mode | 0o111, m.mtime) for m in members},
              {(0, 0, 0o755, int(call(one, "git", "log", "-1", "--format=%ct")))}, "the tarball: one owner, one time")
        ok(not any("never-added" in name for name in names), "the tarball: nothing that git does not track")
        unpacked = scratch / Path(first.name).name.removesuffix(".tar.gz")
        # Somebody else's, and with something built.
        (unpacked / "build").mkdir()
        (unpacked / "build/left").write_text("built\n")
        if is_root():
            for path in unpacked.rglob("*"):
                os.chown(path, 65534, 65534)
        equal(digest(dist(unpacked, unpacked / "build", umask=0o002)), digest(first), "the tarball: makes itself, without git")
        other = dist(one, scratch / "dated", SOURCE_DATE_EPOCH=MOMENT)
        with tarfile.open(other) as tar:
            equal({member.mtime for member in tar}, {int(MOMENT)}, "the tarball: SOURCE_DATE_EPOCH")
        programs(unpacked)


def programs(unpacked):
    """What is installed of the unpacked tarball, against what is of this tree, built and installed by another umask."""
    trees = []
    for folder, build, umask in ((PROJECT, BUILD, 0o022), (unpacked, "build", 0o077)):
        root = unpacked.parent / f"installed-{len(trees)}"
        call(folder, "make", "-s", "-j2", f"BUILD={build}", "install", f"DESTDIR={root}", umask=umask)
        trees.append({str(path.relative_to(root)): digest(path) for path in sorted(root.rglob("*")) if path.is_file()})
    ok(len(trees[0]) > 30, "make install: is something")
    equal(trees[1], trees[0], "make install: the same bytes from the tarball, anywhere, as from here")


def signed():
    """What README tells to type checks it, and a changed byte is refused."""
    if not shutil.which("ssh-keygen"):
        skip("the tarball: signed", "there is no ssh-keygen")
        return
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        call(scratch, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "key")
        call(PROJECT, "make", "-s", f"BUILD={scratch}", "dist", f"SIGN={scratch}/key")
        made = next((scratch / "dist").glob("*.tar.gz"))
        (scratch / "dist/signers").write_text("nmnotify " + (scratch / "key.pub").read_text())
        check = re.search(r"(?m)^    (ssh-keygen -Y verify .*)$", (PROJECT / "README.md").read_text())[1]
        check = check.replace("VERSION", made.name.removeprefix("nmnotify-").removesuffix(".tar.gz"))
        checked = lambda: subprocess.run(["sh", "-c", check], cwd=scratch / "dist", capture_output=True).returncode == 0
        ok(checked(), "the tarball: its signature is good")
        data = bytearray(made.read_bytes())
        data[len(data) // 2] ^= 1
        made.write_bytes(data)
        ok(not checked(), "the tarball: ... and not of another one, of which one bit differs")


# ---- What is linked in ----


def sbom():
    """Against what SPDX 2.3 requires (there is no validator of it in Debian), and against the programs."""
    call(PROJECT, "make", "-s", f"BUILD={BUILD}", "sbom")
    path = next(Path(BUILD, "dist").glob("*.spdx.json"))
    data = path.read_bytes()
    call(PROJECT, "make", "-s", f"BUILD={BUILD}", "sbom")
    equal(path.read_bytes(), data, "SBOM: the same bytes from the same build")
    document = json.loads(data)
    equal(missing(document), [], "SBOM: has all that SPDX 2.3 requires")
    elements = [document["SPDXID"], *(part["SPDXID"] for kind in ("packages", "files") for part in document[kind])]
    equal(len(set(elements)), len(elements), "SBOM: each element has an identifier of its own")
    named = {row[end] for row in document["relationships"] for end in ("spdxElementId", "relatedSpdxElement")}
    equal(sorted(named - set(elements)), [], "SBOM: relationships are of what is there")
    linked = lambda name, kind: {
        row["relatedSpdxElement"].removeprefix("SPDXRef-Package-") for row in document["relationships"]
        if row["spdxElementId"] == f"SPDXRef-File-{name}" and row["relationshipType"] == kind
    }
    needed = call(PROJECT, "readelf", "-dW", str(BUILD / "nmnotify-relay")).count("(NEEDED)")
    equal(len(linked("nmnotify-relay", "DYNAMIC_LINK")), needed, "SBOM: the relay is linked with all that it needs")
    ok(linked("nmnotify", "STATIC_LINK") and not linked("nmnotify", "DYNAMIC_LINK"), "SBOM: the handler is static")
    if shutil.which("dpkg"):
        unknown = [p["name"] for p in document["packages"] if "NOASSERTION" in (p["versionInfo"], p["licenseDeclared"])]
        equal(unknown, [], "SBOM: a version and a licence of each")


def missing(document):
    """What the clauses 6 to 11 of SPDX 2.3 make mandatory, as JSON has it, and is not there or has another form."""
    text, absolute = r".+", r"[a-z][a-z0-9+.-]*:[^#\s]+"
    forms = {
        "document": (document, {
            "spdxVersion": r"SPDX-2\.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": text,
            "documentNamespace": absolute}),
        "creation": (document.get("creationInfo", {}), {"created": r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}Z"}),
    }
    for package in document.get("packages", []):
        forms[f"package {package.get('name')}"] = (package, {
            "name": text, "SPDXID": r"SPDXRef-[A-Za-z0-9.-]+", "downloadLocation": text, "licenseConcluded": text,
            "licenseDeclared": text, "copyrightText": text, "filesAnalyzed": "False"})
    for file in document.get("files", []):
        forms[f"file {file.get('fileName')}"] = (file, {"fileName": r"\./.+", "SPDXID": r"SPDXRef-[A-Za-z0-9.-]+"})
        sums = {one["algorithm"]: one["checksumValue"] for one in file.get("checksums", [])}
        forms[f"sums of {file.get('fileName')}"] = (sums, {"SHA1": "[0-9a-f]{40}", "SHA256": "[0-9a-f]{64}"})
    for row in document.get("relationships", []):
        forms[f"relationship {row}"] = (row, {"relationshipType": "[A-Z_]+"})
    found = [f"{name}: {key}" for name, (of, keys) in forms.items() for key, form in keys.items()
             if not re.fullmatch(form, str(of.get(key, "")))]
    creators = document.get("creationInfo", {}).get("creators", [])
    if not creators or not all(re.match("(Tool|Organization|Person): ", one) for one in creators):
        found.append("creators")
    if not any(row.get("relationshipType") == "DESCRIBES" for row in document.get("relationships", [])):
        found.append("DESCRIBES")
    return found


# ---- What a version has to have ----


def version():
    found = re.search(r"(?m)^VERSION := (.*)", (PROJECT / "Makefile").read_text())[1]
    news = re.findall(r"(?m)^## (\S+)", (PROJECT / "packaging/NEWS.md").read_text())
    equal(news[:1], [found], "NEWS.md: its first entry is of this version")
    changes = (PROJECT / "packaging/debian/changelog").read_text()
    equal(re.match(r"nmnotify \((.*)-[^-]+\) ", changes)[1], found, "debian/changelog: its first entry is of this version")


run(version, same_bytes, signed, sbom)
