#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""nmnotifyctl status --metrics is what its readers take, and all that alerts and the dashboard ask for is in it."""

import json
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import nmtest
from ctl import Answers, ctl
from nmtest import LINE, PROJECT, Sandbox, equal, ok, skip, until

PROMTOOL = PROJECT / "build" / "packages" / "prometheus" / "usr/bin/promtool"
RULES = PROJECT / "units" / "prometheus" / "nmnotify.rules.yml"
DASHBOARD = PROJECT / "units" / "grafana" / "nmnotify.json"
HERE = PROJECT / "tests" / "integration" / "prometheus"
# node_exporter's own.
OTHERS = {"node_textfile_mtime_seconds"}
# As long as the relay has no trouble, some of it is not said.
RELAY = {
    "format": 1, "since": 1, "connections": 0, "most": 9, "owed": {"users": 1, "destinations": 2},
    "counts": {name: 1 for name in ("events", "logins", "told", "failed", "given_up", "refused", "lost")},
    "unreachable": {"total": 1, "list": [{"name": "\xe4\x1b", "port": 79, "since": 2}]},
    "stores": [{"name": 'lmdb:"\\\n', "away": True, "since": 3, "users": 7}],
    "names": {"known": 1, "asked": 2},
    "sockets": [{"kind": "event", "place": "/run/x", "deaf": True}, {"kind": "status", "place": "/run/y"}],
    "configuration": {"file": "/etc/x", "read": 1, "refused": 2, "reason": "x"},
}
READ = """
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
print(*sorted({sample.name for family in families(sys.stdin.read()) for sample in family.samples}))
"""


def all_of_it(*args):
    """The metrics of an account that runs, with a waiter, and of a relay with every trouble."""
    with Sandbox() as box:
        conf = box.config(f"from any\nlimit 10/s burst 5\ninterval 0s\naction {box.recorder('until=go')}\n")
        bad = box.config("from any\nlimit 10/s burst 5\ninterval 0s\naction /bin/false\n", "false.conf")
        box.connect_and_run(bad)
        box.start(conf, data=LINE)
        ok(box.wait_starts(1), "metrics: it runs")
        box.start(conf, data=LINE)
        ok(until(box.has_waiter), "metrics: it waits")
        with Answers(box.dir, json.dumps(RELAY).encode()) as relay:
            code, out, err = ctl(conf, "status", *args, relay=relay.path)
        equal((code, err), (0, ""), f"metrics: {args}")
        return out


def names(text):
    return set(re.findall(r"(?m)^(nmnotify_\w+)", text))


def for_prometheus():
    text = all_of_it("--metrics")
    ok(text.endswith("# EOF\n"), "metrics: an end")
    heads = re.findall(r"(?m)^# TYPE (\S+) (\w+)$", text)
    equal(sorted(name for name, _ in heads), sorted(names(text)), "metrics: each has one head, and each head a sample here")
    wrong = [name for name, kind in heads if (kind == "counter") != name.endswith("_total")]
    equal(wrong, [], "metrics: counters, and no others, are totals")
    if not PROMTOOL.exists():
        skip("metrics: promtool finds nothing wrong", "there is no promtool (tests/packages)")
        return
    got = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    equal((got.returncode, got.stdout + got.stderr), (0, ""), "metrics: promtool finds nothing wrong")


def before_the_first():
    """Prometheus sees an increase from what it has seen: so counters are there, and 0, before they count."""
    with Sandbox() as box:
        conf = box.config(f"account one\nfrom any\naction {box.recorder()}\n")
        for name in ("no state", "no directory"):
            _, text, _ = ctl(conf, "status", "--metrics")
            for sample in ('nmnotify_starts_total{account="one"} 0', 'nmnotify_failed_total{account="one"} 0',
                           'nmnotify_connections_total{account="one",verdict="error"} 0', "nmnotify_denied_total 0"):  # fmt: skip
                ok(f"\n{sample}\n" in text, f"metrics: {name}: {sample}")
            if name == "no state":
                box.state_dir.rmdir()


def for_others():
    text = all_of_it("--openmetrics")
    got = subprocess.run(["/usr/bin/python3", "-c", READ], input=text, capture_output=True, text=True)
    if "ModuleNotFoundError" in got.stderr:
        skip("metrics: a strict reader of OpenMetrics takes them", "there is no prometheus_client (tests/packages)")
    else:
        equal((set(got.stdout.split()), got.stderr), (names(text), ""), "metrics: a strict reader of OpenMetrics takes them")


def are_there():
    """No alert and no panel asks for what does not exist."""
    known = names(all_of_it("--metrics")) | OTHERS
    asked = {}
    for path in (RULES, DASHBOARD, HERE / "nmnotify.rules.test.yml"):
        asked[path.name] = set(re.findall(r"\b(?:nmnotify|node)_\w+", path.read_text()))
        ok(len(asked[path.name]) > 10, f"metrics: {path.name} asks for some")
        equal(sorted(asked[path.name] - known), [], f"metrics: {path.name} asks for none that is not there")
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    ok(all(target["expr"] for panel in panels for target in panel["targets"]), "metrics: each panel asks for something")
    equal(len({panel["id"] for panel in panels}), len(panels), "metrics: each panel is itself")


def alerts():
    rules = re.findall(r"(?m)^      - alert: (\w+)$", RULES.read_text())
    tests = (HERE / "nmnotify.rules.test.yml").read_text()
    for rule in rules:
        equal((tests.count(f"alertname: {rule} }}"), tests.count(f"alertname: {rule}\n")), (1, 1), f"alerts: {rule} is tried both ways")
    if not PROMTOOL.exists():
        skip("alerts: come when they must", "there is no promtool (tests/packages)")
        return
    for args in (["check", "rules", RULES], ["test", "rules", HERE / "nmnotify.rules.test.yml"]):
        got = subprocess.run([PROMTOOL, *args], capture_output=True, text=True)
        ok(got.returncode == 0, f"alerts: promtool {args[0]} rules") or nmtest.diag(got.stdout + got.stderr)
    # Each panel's question is one that Prometheus understands.
    exprs = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", [])]
    with Sandbox() as box:
        path = box.dir / "rules.yml"
        rules = [{"record": f"panel:x{i}", "expr": re.sub(r"\$\w+", "x", expr)} for i, expr in enumerate(exprs)]
        path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
        got = subprocess.run([PROMTOOL, "check", "rules", path], capture_output=True, text=True)
        ok(got.returncode == 0, "metrics: Prometheus understands each panel") or nmtest.diag(got.stdout + got.stderr)


nmtest.run(for_prometheus, before_the_first, for_others, are_there, alerts)
