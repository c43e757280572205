#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The recipes of packaging/ for systems other than Debian: each builds, of the tarball, what it says, as far as that
can be done here. What is not compiled for its speed here is compiled without optimisation."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from nmtest import BUILD, PROJECT, diag, equal, is_root, ok, run, skip

DIST = BUILD / "dist"
RECIPES = DIST / "recipes"
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
QUICK = "-O0 -w"
# Young enough for all drop-ins, whatever this machine has.
SYSTEMD = {"SYSTEMD_VERSION": "257"}
STATIC = ("nmnotify", "nmnotify-send", "nmnotify-login")
# Of whole systems, what their documentation calls the package's own.
NOT_OURS = ("usr/lib/.build-id", "usr/share/licenses")
# rpm's and pacman's packages by name: {path: kind of file}.
CONTENTS = {}


def call(*words, folder=PROJECT, environment=ENVIRONMENT, **how):
    """Its output; fails the part, with the last of it, if the command does."""
    done = subprocess.run(list(map(str, words)), cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, **how)
    if done.returncode != 0:
        diag("\n".join(done.stdout.splitlines()[-25:]))
        raise RuntimeError(f"{words[0]} ends with {done.returncode}")
    return done.stdout


def has(name, *programs):
    """Whether this machine has what a part needs; else it is skipped."""
    missing = [program for program in programs if not shutil.which(program)]
    for program in missing[:1]:
        skip(name, f"there is no {program} here")
    return not missing


def tarball():
    return next(DIST.glob("nmnotify-*.tar.gz"))


def version():
    return re.search(r"^VERSION := (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[1]


def scratch():
    return tempfile.TemporaryDirectory(prefix="nmnotify-recipes-")


def unpacked(folder):
    with tarfile.open(tarball()) as tar:
        tar.extractall(folder)
    return folder / f"nmnotify-{version()}"


def files(root):
    """What is below a folder, but for folders, by its path from there."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def own(paths):
    return {path.removesuffix(".gz") for path in paths if not path.startswith(NOT_OURS)}


def installed_by_make(folder, *variables):
    """What `make install` of this build installs."""
    call("make", "-s", "install", f"BUILD={BUILD}", f"DESTDIR={folder}", "STRIP=", *variables, environment=ENVIRONMENT | SYSTEMD)
    return files(folder)


USR = ("PREFIX=/usr", "SYSTEMDUNITDIR=/usr/lib/systemd/system", "SYSTEMDUSERUNITDIR=/usr/lib/systemd/user",
       "SYSUSERSDIR=/usr/lib/sysusers.d", "TMPFILESDIR=/usr/lib/tmpfiles.d", "ZSHDIR=/usr/share/zsh/site-functions")


def musl_compiler(folder, name):
    """As where the system's libc is musl: clang, with a tree that has nothing but Debian's musl and the kernel's
    headers. None if it cannot be had."""
    triplet = "x86_64-linux-musl"
    if not shutil.which("clang") or os.uname().machine != "x86_64" or not Path("/usr/lib", triplet).is_dir():
        return None
    tree = folder / "musl"
    compiler = folder / name
    if not tree.exists():
        (tree / "usr").mkdir(parents=True)
        shutil.copytree(f"/usr/include/{triplet}", tree / "usr/include")
        shutil.copytree(f"/usr/lib/{triplet}", tree / "usr/lib", symlinks=True)
        for headers in ("linux", "asm-generic", "x86_64-linux-gnu/asm"):
            shutil.copytree(f"/usr/include/{headers}", tree / "usr/include" / Path(headers).name)
    compiler.write_text(f'#!/bin/sh\nexec clang --target=x86_64-openwrt-linux-musl --sysroot={tree} --gcc-toolchain=/usr "$@"\n')
    compiler.chmod(0o755)
    return compiler


def is_static_musl(program):
    return "libc: musl, static" in call(program, "-V")


def know_their_places(root, name):
    """No program or unit looks below /usr/local for another program."""
    strangers = [path for path in files(root) if not path.startswith("usr/share/man/") and re.search(rb"/usr/local/\w+/nmnotify", (root / path).read_bytes())]
    equal(strangers, [], f"{name}: nothing that is installed looks below /usr/local")


# ---- All ----


def filled_in():
    """make recipes: the version, and the hashes of the tarball."""
    mine = version()
    names = sorted(path for path in RECIPES.rglob("*") if path.is_file())
    ok(len(names) > 10, "recipes: are there")
    left = [str(path) for path in names if re.search(r"@[A-Z0-9_]+@", path.read_text())]
    equal(left, [], "recipes: nothing is left to fill in")
    said = {
        "rpm": re.search(r"^Version: +(.*)$", (RECIPES / "rpm/nmnotify.spec").read_text(), re.MULTILINE)[1],
        "alpine": re.search(r"^pkgver=(.*)$", (RECIPES / "alpine/APKBUILD").read_text(), re.MULTILINE)[1],
        "arch": re.search(r"^pkgver=(.*)$", (RECIPES / "arch/PKGBUILD").read_text(), re.MULTILINE)[1],
        "openwrt": re.search(r"^PKG_VERSION:=(.*)$", (RECIPES / "openwrt/Makefile").read_text(), re.MULTILINE)[1],
        "buildroot": re.search(r"^NMNOTIFY_VERSION = (.*)$", (RECIPES / "buildroot/nmnotify.mk").read_text(), re.MULTILINE)[1],
        "yocto": next((RECIPES / "yocto").glob("nmnotify_*.bb")).stem.split("_")[1],
    }
    equal(set(said.values()), {mine}, f"recipes: all have the version of the Makefile, {mine}")
    sums = re.findall(r"^sha256  (\S+)  (\S+)$", (RECIPES / "buildroot/nmnotify.hash").read_text(), re.MULTILINE)
    with scratch() as folder:
        here = Path(folder)
        shutil.copy(tarball(), here)
        shutil.copy(PROJECT / "LICENSE", here)
        (here / "sums").write_text("".join(f"{digest}  {name}\n" for digest, name in sums))
        call("sha256sum", "--check", "--strict", "sums", folder=here)
        equal(len(sums), 2, "recipes: Buildroot's hashes are those of the tarball and of the license")
        shutil.copy(RECIPES / "alpine/nmnotify.initd", here)
        sums = re.search(r'sha512sums="\n(.*)\n"', (RECIPES / "alpine/APKBUILD").read_text(), re.DOTALL)[1]
        (here / "sums").write_text(sums + "\n")
        call("sha512sum", "--check", "--strict", "sums", folder=here)
        ok("nmnotify.initd" in sums, "recipes: Alpine's hashes are those of its sources")
    digest = call("md5sum", PROJECT / "LICENSE").split()[0]
    ok(f"md5={digest}" in next((RECIPES / "yocto").glob("*.bb")).read_text(), "recipes: Yocto's hash is that of the license")


def scripts():
    """Syntax, and what shellcheck says; of variables that only their readers use, nothing."""
    if not has("recipes: shellcheck has nothing to say", "shellcheck"):
        return
    of = {
        "sh": ("alpine/nmnotify.pre-install", "buildroot/S45nmnotify"),
        # Their interpreters are ash with functions of OpenRC, OpenWrt and abuild.
        "dash": ("alpine/nmnotify.initd", "openwrt/files/nmnotify.init", "alpine/APKBUILD"),
        "bash": ("arch/PKGBUILD",),
    }
    for shell, names in of.items():
        for name in names:
            without = "SC2034,SC2154" + (",SC2128,SC2164" if shell == "bash" else "")
            told = subprocess.run(["shellcheck", "-s", shell, "-e", without, str(RECIPES / name)], text=True,
                                  capture_output=True).stdout
            equal(told, "", f"recipes: shellcheck has nothing to say of {name}")


# ---- rpm ----


def rpm():
    if not has("rpm: builds", "rpmbuild", "rpm2cpio", "cpio"):
        return
    macros = HERE / "rpm.macros"
    with scratch() as folder:
        here = Path(folder)
        call("rpmbuild", "-bb", "--nodeps", f"--load={macros}", "-D", f"_topdir {here}", "-D", f"_sourcedir {DIST}",
             "-D", f"optflags {QUICK}", RECIPES / "rpm/nmnotify.spec", environment=ENVIRONMENT | SYSTEMD)
        packages = sorted(here.glob("RPMS/*/*.rpm"))
        for package in packages:
            name = call("rpm", "-qp", "--qf", "%{NAME}", package)
            root = here / "roots" / name
            root.mkdir(parents=True)
            call("sh", "-c", f"rpm2cpio {package} | cpio --quiet -idm", folder=root)
            CONTENTS.setdefault("rpm", {})[name] = own(files(root))
            equal(call("rpm", "-qp", "--qf", "%{VERSION} %{LICENSE}", package), f"{version()} ISC", f"rpm: {name} has version and license")
            configuration = {path.lstrip("/") for path in call("rpm", "-qpc", package).split()}
            equal(configuration, {path for path in CONTENTS["rpm"][name] if path.startswith("etc/")},
                  f"rpm: {name}: what is in /etc is kept as the administrator has it")
            scriptlets = call("rpm", "-qp", "--scripts", package)
            ok("enable" not in scriptlets and " start " not in scriptlets, f"rpm: {name} opens no port when it is installed")
            units = {Path(path).name for path in CONTENTS["rpm"][name] if fnmatch.fnmatch(path, "usr/lib/systemd/system/*[a-z].socket")}
            ok(all("preset" in line for unit in units for line in scriptlets.splitlines() if unit in line and "disable" not in line) and
               all(scriptlets.count(f"{unit} ") + scriptlets.count(f"{unit}\n") >= 2 for unit in units),
               f"rpm: {name}: each of its sockets is preset, and stopped when it goes")
            know_their_places(root, f"rpm: {name}")
        each_in_one("rpm", installed_by_make(here / "make", *USR))
        if has("rpm: rpmlint has nothing to say", "rpmlint"):
            told = subprocess.run(["rpmlint", "-c", str(HERE / "rpmlint.toml"), str(RECIPES / "rpm/nmnotify.spec"), *map(str, packages)],
                                  text=True, capture_output=True, env=ENVIRONMENT).stdout
            equal([line for line in told.splitlines() if re.search(r": [EW]: ", line)], [], "rpm: rpmlint has nothing to say")
            ok("6 packages" in told or "5 packages" in told, "rpm: rpmlint has seen all packages")


def each_in_one(system, wanted, rename=lambda path: path):
    """Each file that is installed is in one package of that system."""
    found = [path for contents in CONTENTS[system].values() for path in contents]
    equal(sorted(found), sorted(map(rename, wanted)), f"{system}: each file of make install is in exactly one package")
    equal(set(CONTENTS[system]), {"nmnotify", "nmnotifyd", "nmnotify-send", "nmnotify-relay", "nmnotifyctl"}, f"{system}: its packages")


# ---- Arch ----


def arch():
    if not has("arch: builds", "makepkg", "bsdtar", "fakeroot", "setpriv"):
        return
    with scratch() as folder:
        here = Path(folder)
        shutil.copy(RECIPES / "arch/PKGBUILD", here)
        shutil.copy(tarball(), here)
        (here / "conf").write_text(f". /etc/makepkg.conf\nCFLAGS='{QUICK}'\nMAKEFLAGS=-j2\nPKGEXT=.pkg.tar\nPKGDEST=\nSRCDEST=\n")
        # It refuses to be root; and of what it says of its own data base, which is not there, nothing matters.
        for path in (here, *here.iterdir()):
            if is_root():
                os.chown(path, 65534, 65534)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if is_root() else []
        call(*user, "makepkg", "--config", "conf", "--nodeps", "--nocolor", folder=here,
             environment=ENVIRONMENT | SYSTEMD | {"HOME": folder})
        for package in sorted(here.glob("*.pkg.tar")):
            with tarfile.open(package) as tar:
                said = tar.extractfile(".PKGINFO").read().decode()
                paths = {member.name for member in tar if not member.isdir() and not member.name.startswith(".")}
                name = re.search(r"^pkgname = (.*)$", said, re.MULTILINE)[1]
                tar.extractall(here / "roots" / name)
            CONTENTS.setdefault("arch", {})[name] = own(paths)
            ok(f"pkgver = {version()}-1\n" in said and "license = ISC\n" in said, f"arch: {name} has version and license")
            ok(f"usr/share/licenses/{name}/LICENSE" in paths, f"arch: {name} has the license itself")
            equal(set(re.findall(r"^backup = (.*)$", said, re.MULTILINE)), {path for path in paths if path.startswith("etc/")},
                  f"arch: {name}: what is in /etc is kept as the administrator has it")
            know_their_places(here / "roots" / name, f"arch: {name}")
        if "arch" in CONTENTS:
            each_in_one("arch", installed_by_make(here / "make", *USR, "SBINDIR=/usr/bin"))
        else:
            ok(False, "arch: there are packages")
        ok(is_static_musl(here / "roots/nmnotify/usr/bin/nmnotify"), "arch: nmnotify is static, with musl")


def same_split():
    """A file has the same package everywhere, but for where it is; and the lists of Debian's agree."""
    if len(CONTENTS) < 2:
        skip("recipes: rpm's and Arch's packages have the same files", "one of them was not built")
    else:
        renamed = {name: {path.replace("usr/bin/", "usr/sbin/") for path in contents} for name, contents in CONTENTS["arch"].items()}
        other = {name: {path.replace("usr/bin/", "usr/sbin/") for path in contents} for name, contents in CONTENTS["rpm"].items()}
        equal(renamed, other, "recipes: rpm's and Arch's packages have the same files")
    debian = sorted((PROJECT / "packaging/debian").glob("*.install"))
    if not debian or not CONTENTS:
        skip("recipes: Debian's packages have the same files", "nothing to compare")
        return
    system = next(iter(CONTENTS.values()))
    for path in debian:
        patterns = path.read_text().replace("${env:UNITDIR}", "usr/lib/systemd/system").replace("vendor-completions", "site-functions").split()
        matched = {name for name in {p for contents in system.values() for p in contents}
                   for pattern in patterns if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(name, f"{pattern}/*")}
        equal(matched, system[path.stem], f"recipes: Debian's {path.stem} has the same files")


# ---- Alpine ----

# abuild's part: a subpackage gets what its function moves.
ABUILD = """
set -e
srcdir=$1 builddir=$2 pkgdir=$3
amove() { for path; do mkdir -p "$subpkgdir/${path%/*}"; mv "$pkgdir"/$path "$subpkgdir/${path%/*}/"; done; }
default_openrc() { amove etc/init.d; }
. ./APKBUILD
cd "$builddir"
build
check
package
for name in $subpackages; do
	subpkgname=${name%%:*} subpkgdir=$pkgdir-${name%%:*}
	case $name in
	*:*) ${name#*:} ;;
	*-openrc) openrc ;;
	*-doc) amove usr/share/man usr/share/doc ;;
	*) "$name" ;;
	esac
done
for name in $install; do [ -e "$srcdir/$name" ]; done
"""


def alpine():
    if not has("alpine: builds", "busybox", "gcc"):
        return
    with scratch() as folder:
        here = Path(folder)
        source = unpacked(here)
        compiler = musl_compiler(here, "cc")
        if not compiler:
            skip("alpine: builds where the system's libc is musl", "it takes clang, musl-tools and x86_64")
            return
        for name in ("APKBUILD", "nmnotify.initd", "nmnotify.pre-install"):
            shutil.copy(RECIPES / "alpine" / name, here)
        # Alpine's tools are busybox's. Debian's busybox has no install.
        tools = here / "tools"
        tools.mkdir()
        for name in ("cp", "cut", "grep", "mkdir", "mv", "rm", "sed", "sh", "test", "tr", "[", "printf"):
            (tools / name).symlink_to(shutil.which("busybox"))
        (here / "abuild").write_text(ABUILD)
        path = f"{tools}:{ENVIRONMENT['PATH']}"
        call("busybox", "ash", "abuild", here, source, here / "pkg", folder=here,
             environment=ENVIRONMENT | {"PATH": path, "CC": str(compiler), "CFLAGS": QUICK, "MAKEFLAGS": "-j2"})
        packages = {root.name: files(root) for root in here.glob("pkg*")}
        equal(packages["pkg"], {"etc/nmnotify.conf", "usr/sbin/nmnotify"}, "alpine: nmnotify has the handler and its configuration")
        equal(packages["pkg-nmnotifyd"], {"usr/sbin/nmnotifyd"}, "alpine: nmnotifyd has the service")
        equal(packages["pkg-nmnotify-send"], {"usr/bin/nmnotify-send", "usr/sbin/nmnotify-login"}, "alpine: nmnotify-send has the sender")
        equal(packages["pkg-nmnotify-openrc"], {"etc/init.d/nmnotify", "etc/nmnotify-inetd.conf"}, "alpine: nmnotify-openrc has the service, and inetd's table")
        ok(len(packages["pkg-nmnotify-doc"]) > 8, "alpine: nmnotify-doc has the pages")
        equal(set(packages), {"pkg", *(f"pkg-{name}" for name in ("nmnotifyd", "nmnotify-send", "nmnotify-openrc", "nmnotify-doc"))}, "alpine: its packages")
        for program in (here / "pkg/usr/sbin/nmnotify", here / "pkg-nmnotifyd/usr/sbin/nmnotifyd"):
            ok(is_static_musl(program), f"alpine: {program.name} is static, with the system's musl")
        table = (here / "pkg-nmnotify-openrc/etc/nmnotify-inetd.conf").read_text()
        programs = {line.split()[5] for line in table.splitlines() if line and not line.startswith("#")}
        equal(programs, {"/usr/sbin/nmnotify"}, "alpine: inetd's table names the program where it is")
        know_their_places(here / "pkg", "alpine: nmnotify")
        for name in ("nmnotify.initd", "nmnotify.pre-install"):
            call("busybox", "ash", "-n", name, folder=here)


# ---- OpenWrt, Buildroot, Yocto ----


def openwrt():
    with scratch() as folder:
        here = Path(folder)
        for name in ("rules.mk", "include/package.mk"):
            (here / "out/top" / name).parent.mkdir(parents=True, exist_ok=True)
            (here / "out/top" / name).write_text("")
        cross = "x86_64-openwrt-linux-musl-"
        compiler = musl_compiler(here, f"{cross}gcc")
        if not compiler:
            skip("openwrt: builds with a compiler whose libc is musl", "it takes clang, musl-tools and x86_64")
        call("make", "-j2", "-f", HERE / "openwrt.make", f"RECIPE={RECIPES}/openwrt/Makefile", f"TARBALL={tarball()}", f"OUT={here}/out",
             f"TARGET_CC={compiler or 'cc'}", f"TARGET_CROSS={cross if compiler else ''}", f"TARGET_CFLAGS={QUICK}",
             folder=RECIPES / "openwrt", environment=ENVIRONMENT)
        packages = {name: files(here / "out" / name) for name in ("nmnotify", "nmnotifyd", "nmnotify-send")}
        equal(packages, {
            "nmnotify": {"etc/init.d/nmnotify", "etc/nmnotify.conf", "etc/xinetd.d/nmnotify", "usr/sbin/nmnotify"},
            "nmnotifyd": {"usr/sbin/nmnotifyd"}, "nmnotify-send": {"usr/bin/nmnotify-send"}}, "openwrt: its packages")
        root = here / "out/nmnotify"
        xinetd_is_off(root, "openwrt")
        if compiler:
            ok(is_static_musl(root / "usr/sbin/nmnotify"), "openwrt: nmnotify is static, with musl")
        conf = (root / "etc/nmnotify.conf").read_text()
        said = subprocess.run([root / "usr/sbin/nmnotify", "-t", "-f", root / "etc/nmnotify.conf"], capture_output=True, text=True).stderr
        ok("state /var/run/nmnotify\n" in conf and "'from'" in said and "state" not in said,
           "openwrt: the configuration says where the state is, and is read")
        init = (root / "etc/init.d/nmnotify").read_text()
        ok(init.startswith("#!/bin/sh /etc/rc.common\n") and "/var/run/nmnotify" in init, "openwrt: the state's directory is made when it boots")
        know_their_places(root, "openwrt: nmnotify")


def xinetd_is_off(root, name):
    entry = dict(re.findall(r"^\t(\w+)\s*=\s*(.*)$", (root / "etc/xinetd.d/nmnotify").read_text(), re.MULTILINE))
    equal((entry["disable"], entry["server"]), ("yes", "/usr/sbin/nmnotify"), f"{name}: xinetd's entry is off, and names the program")


def buildroot():
    for init in ("SYSTEMD", "SYSV"):
        with scratch() as folder:
            here = Path(folder)
            compiler = musl_compiler(here, "x86_64-buildroot-linux-musl-gcc") if init == "SYSV" else None
            if init == "SYSV" and not compiler:
                skip("buildroot: builds with a compiler whose libc is musl", "it takes clang, musl-tools and x86_64")
                continue
            name = f"buildroot, {init.lower()}"
            call("make", "-j2", "-f", HERE / "buildroot.make", f"RECIPE={RECIPES}/buildroot/nmnotify.mk", f"SOURCE={unpacked(here)}",
                 f"OUT={here}", f"INIT={init}", f"TARGET_CC={compiler or 'cc'}", f"TARGET_CFLAGS={QUICK}")
            root = here / "target"
            programs = {path for path in files(root) if re.match(r"usr/s?bin/", path)}
            wanted = {"usr/sbin/nmnotify", "usr/sbin/nmnotifyd", "usr/sbin/nmnotify-login", "usr/bin/nmnotify-send"}
            users = {line.split()[0] for line in (here / "users").read_text().splitlines() if line.strip()}
            if init == "SYSTEMD":
                wanted |= {"usr/sbin/nmnotify-relay", "usr/sbin/nmnotify-relay-proxy", "usr/sbin/nmnotify-relay-logs",
                           "usr/bin/nmnotifyctl"}
                preset = (root / "usr/lib/systemd/system-preset/80-nmnotify.preset").read_text()
                ok("disable nmnotify*" in preset.splitlines() and "enable" not in preset, f"{name}: no unit is enabled")
                ok((root / "usr/lib/systemd/system/nmnotifyd.socket.d/poll-limit.conf").exists(), f"{name}: units are for Buildroot's systemd")
                sysusers = {line.split()[1] for path in PROJECT.glob("units/*.sysusers") for line in path.read_text().splitlines() if line.startswith("u ")}
                equal(users, sysusers, f"{name}: its users are those of sysusers.d")
            else:
                ok(os.access(root / "etc/init.d/S45nmnotify", os.X_OK), f"{name}: the state's directory is made when it boots")
                ok(not (root / "usr/lib/systemd").exists(), f"{name}: nothing is systemd's")
                ok(is_static_musl(root / "usr/sbin/nmnotifyd"), f"{name}: nmnotifyd is static, with musl")
                equal(users, {"nmnotify"}, f"{name}: its user")
            equal(programs, wanted, f"{name}: its programs")
            xinetd_is_off(root, name)
            know_their_places(root, name)
            for line in (here / "users").read_text().splitlines():
                ok(not line.strip() or len(line.split()) >= 8, f"{name}: a user has what makeuser-syntax.adoc asks for")


def yocto():
    """What its variables say: to make, and whose each file is. PACKAGES =+ has its own names first."""
    text = next((RECIPES / "yocto").glob("*.bb")).read_text().replace("\\\n", " ")
    places = {"prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/sbin", "mandir": "/usr/share/man", "docdir": "/usr/share/doc",
              "datadir": "/usr/share", "sysconfdir": "/etc", "nonarch_libdir": "/usr/lib", "CC": "cc", "BUILD_CC": "cc", "PN": "nmnotify",
              "systemd_system_unitdir": "/usr/lib/systemd/system", "systemd_user_unitdir": "/usr/lib/systemd/user",
              "PACKAGECONFIG_CONFARGS": "", "BUILD_CFLAGS": "", "BUILD_LDFLAGS": ""}
    expand = lambda value: re.sub(r"\$\{(\w+)\}", lambda match: places[match[1]], value)
    variable = lambda name: expand(re.search(rf'^{re.escape(name)} *\+?=\+? *"(.*)"$', text, re.MULTILINE)[1])
    packages = variable("PACKAGES").split()
    patterns = {name: variable(f"FILES:{name.replace('nmnotify-', '${PN}-')}").split() for name in packages}
    # bitbake.conf's own, of a package with the recipe's name.
    patterns["nmnotify"] = [*variable("FILES:${PN}").split(), "/usr/sbin/*", "/etc", "/usr/share/*"]
    with scratch() as folder:
        words = [word.strip("'") for word in re.findall(r"""[A-Z_]+=(?:'[^']*'|\S*)""", variable("EXTRA_OEMAKE"))]
        variables = [word.replace("='", "=") for word in words]
        paths = installed_by_make(Path(folder), *variables)
        of = {}
        for path in paths:
            takers = [name for name, those in patterns.items()
                      if any(fnmatch.fnmatch(f"/{path}", pattern) or f"/{path}".startswith(f"{pattern}/") for pattern in those)]
            of.setdefault(takers[0] if takers else None, set()).add(path)
    documents = ("usr/share/man", "usr/share/doc")
    equal(of.get(None, set()), set(), "yocto: each file of make install has a package")
    if CONTENTS:
        system = next(iter(CONTENTS.values()))
        for name in patterns:
            flat = lambda these: {path.replace("usr/bin/", "usr/sbin/") for path in these if not path.startswith(documents)}
            equal(flat(of[name]), flat(system[name]), f"yocto: {name} has the files that it has elsewhere")
    ok('\nSYSTEMD_AUTO_ENABLE = "disable"\n' in text, "yocto: no unit is enabled")
    units = set(re.findall(r"\bnmnotify[a-z-]*\.(?:socket|service)\b", variable("SYSTEMD_SERVICE:${PN}-relay") + variable("SYSTEMD_SERVICE:nmnotifyd")))
    equal({unit for unit in units if not (PROJECT / "units" / unit).exists()}, set(), "yocto: its units are there")


run(filled_in, scripts, rpm, arch, same_split, alpine, openwrt, buildroot, yocto)
