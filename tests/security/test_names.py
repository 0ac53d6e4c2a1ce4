"""Sandboxes with a network have names looked up, by a program that belongs to nobody else and that none of them can stop."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from conftest import SECONDS, STAGE, Service, family, wait_for_end
from internet import MACHINE, METADATA, OTHER_PUBLIC, OUTSIDE, PRIVATE, PUBLIC, Internet, ask, needed, reached

from cwsandbox import EgressRule, NetworkOptions

pytestmark = needed

MANY = [PUBLIC] + [f"198.51.100.{n}" for n in range(100, 130)]
ZONE = {
    "www.test": [[PUBLIC]], "other.test": [[OTHER_PUBLIC]], "index.test": [[PUBLIC]], "many.test": [MANY], "liar.test": [[PUBLIC]],
    "private.test": [[PRIVATE]], "metadata.test": [[METADATA]], "machine.test": [[MACHINE]], "gateway.test": [["169.254.1.1"]],
    "rebind.test": [[PUBLIC], [PRIVATE]], "mixed.test": [[PRIVATE, OTHER_PUBLIC, METADATA]], "*.wild.test": [[OTHER_PUBLIC]],
}

# The addresses of each name, [] where there are none, or the number of the error.
LOOK_UP = r"""
import json, socket, sys
def look_up(name):
    try:
        return sorted(row[4][0] for row in socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM))
    except socket.gaierror:
        return []
print(json.dumps([look_up(name) for name in sys.argv[1:]]))
"""

# The code of the answer to a question for each name, -1 without one.
CODES = r"""
import json, socket, sys
def code(name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.connect(("169.254.1.1", 53))
    s.send(b"\1\2\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0\0\1\0\1")
    try:
        return s.recv(4096)[3] & 15
    except OSError:
        return -1
print(json.dumps([code(name) for name in sys.argv[1:]]))
"""

# Takes all that one can take: questions that nobody answers, connections that say nothing or half of something, and rubbish.
FLOOD = r"""
import os, socket
connections = []
for n in range(300):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("169.254.1.1", 53))
    connections.append(s)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("169.254.1.1", 53))
print("begins", flush=True)
n = 0
while True:
    name = b"%sx%x" % (b"silent", n)
    try:
        u.send(os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0" + bytes([len(name)]) + name + b"\4test\0\0\1\0\1")
        u.send(os.urandom(40))
        if n < 300:
            connections[n].send(b"\0\377half")
    except OSError:
        pass
    n += 1
"""


@pytest.fixture(scope="module")
def internet():
    made = Internet()
    made.serve_names(ZONE)
    made.serve(made.outside, 443)
    made.serve(made.machine, 443)
    yield made
    made.close()


@pytest.fixture(scope="module")
def wired(internet):
    service = Service(False, "--network", "egress", "--dns", OUTSIDE, wrapper=internet.inside(internet.machine))
    yield service
    service.stop()
    assert internet.leftovers() == []


def look_up(sandbox, *names: str) -> list[list[str]]:
    return json.loads(run(sandbox, LOOK_UP, *names))


def codes(sandbox, *names: str) -> list[int]:
    return json.loads(run(sandbox, CODES, *names))


def run(sandbox, script: str, *args: str) -> str:
    result = sandbox.exec(["python3", "-c", script, *args]).result(SECONDS)
    assert result.returncode == 0, result.stderr
    return result.stdout


def resolver_of(service) -> int:
    """Its process; 0 while another one is being started."""
    for pid, _ in family(service.process.pid):
        with contextlib.suppress(OSError):  # it ended while we looked
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == b"cwsandbox-resolve":
                return pid
    return 0


def test_names_have_addresses_that_are_reached(wired):
    with wired.sandbox() as box:
        assert look_up(box, "www.test", "WWW.Test", "nowhere.test") == [[PUBLIC], [PUBLIC], []]
        assert ask(box, ("tcp", "www.test", 80), ("udp", "www.test", 80)) == [MACHINE] * 2


def test_an_answer_that_does_not_fit_is_asked_for_by_tcp(wired):
    with wired.sandbox() as box:
        assert look_up(box, "many.test") == [sorted(MANY)]


def test_an_answer_of_somebody_else_is_none(wired):
    with wired.sandbox() as box:
        assert look_up(box, "liar.test") == [[PUBLIC]]


def test_what_names_lead_to_is_no_more_reachable_for_it(wired):
    """The rules are about addresses, whatever a hostile server says."""
    with wired.sandbox() as box:
        names = ["private.test", "metadata.test", "machine.test", "gateway.test"]
        assert look_up(box, *names) == [[PRIVATE], [METADATA], [MACHINE], ["169.254.1.1"]]
        assert reached(box, *[("tcp", name, 80) for name in names]) == [False] * 4
        assert reached(box, ("tcp", "rebind.test", 80), ("tcp", "rebind.test", 80)) == [True, False]


def test_blocks_alone_grant_no_questions(wired):
    """What leaves in a question would reach whoever is asked. Who may reach everything may ask everything."""
    with wired.sandbox(network=NetworkOptions(egress=[EgressRule(cidr=f"{PUBLIC}/32")])) as box:
        assert codes(box, "www.test", "nowhere.test") == [5, 5]
        assert reached(box, ("tcp", PUBLIC, 80)) == [True]
    with wired.sandbox(network=NetworkOptions(egress=[EgressRule(any=True, ports=[80])])) as box:
        assert codes(box, "www.test", "nowhere.test") == [0, 3]


def test_without_a_network_there_are_no_names(wired):
    with wired.sandbox(network=NetworkOptions(deny_egress=True)) as box:
        began = time.monotonic()
        assert look_up(box, "www.test") == [[]]
        assert time.monotonic() - began < SECONDS / 2


def test_one_sandbox_does_not_stop_anothers_questions(wired):
    with wired.sandbox() as greedy, wired.sandbox() as box:
        flood = greedy.exec(["python3", "-c", FLOOD])
        assert next(iter(flood.stdout)).startswith("begins")
        for _ in range(5):
            assert look_up(box, "www.test", "many.test") == [[PUBLIC], sorted(MANY)]
        flood.cancel()
    with wired.sandbox() as box:
        assert look_up(box, "www.test") == [[PUBLIC]]


def granted(*names: str, more=()) -> NetworkOptions:
    return NetworkOptions(egress=[*[EgressRule(dns_name=name) for name in names], *more])


def https(*hosts: str) -> list:
    return [("tcp", host, 443) for host in hosts]


def test_a_granted_name_is_reached_where_it_was_said_to_be(wired):
    with wired.sandbox(network=granted("WWW.test")) as box:
        assert reached(box, *https(PUBLIC)) == [False]  # nobody has asked yet
        assert codes(box, "other.test", "test", "x.www.test", "nowhere.test", "www.test") == [5, 5, 5, 5, 0]
        assert reached(box, *https("www.test", PUBLIC, OTHER_PUBLIC, OUTSIDE, MACHINE)) == [True, True, False, False, False]
        assert reached(box, ("tcp", "www.test", 80), ("udp", "www.test", 443)) == [False, False]
        assert [rule.dns_name for rule in box.effective_egress] == ["www.test"]
        assert box.dns_egress_names == ("www.test",)


def test_a_star_is_one_label(wired):
    with wired.sandbox(network=granted("*.wild.test")) as box:
        assert codes(box, "wild.test", "b.a.wild.test", "a.wild.test") == [5, 5, 0]
        assert reached(box, *https("a.wild.test", PUBLIC)) == [True, False]


def test_an_answer_by_tcp_grants_as_well(wired):
    with wired.sandbox(network=granted("many.test")) as box:
        assert look_up(box, "many.test") == [sorted(MANY)]
        assert reached(box, *https(PUBLIC)) == [True]


def test_what_one_was_told_is_not_anothers(wired):
    with wired.sandbox(network=granted("www.test")) as one, wired.sandbox(network=granted("www.test")) as other:
        assert reached(one, *https("www.test")) == [True]
        assert reached(other, *https(PUBLIC)) == [False]


def test_a_hostile_server_grants_public_addresses_only(wired):
    names = ["private.test", "metadata.test", "machine.test", "gateway.test", "mixed.test"]
    with wired.sandbox(network=granted(*names, "rebind.test")) as box:
        assert look_up(box, *names, "rebind.test", "rebind.test")[-2:] in ([[PUBLIC], [PRIVATE]], [[PRIVATE], [PRIVATE]])
        assert reached(box, *https(PRIVATE, METADATA, MACHINE, "169.254.1.1", OTHER_PUBLIC)) == [False] * 4 + [True]
        assert reached(box, *https("rebind.test")) == [False]


def test_names_add_up_with_other_rules(wired):
    with wired.sandbox(network=granted("www.test", more=[EgressRule(any=True, ports=[80])])) as box:
        assert reached(box, *https("www.test", "other.test"), ("tcp", "other.test", 80)) == [True, False, True]
    with wired.sandbox(network=granted("www.test", more=[EgressRule(cidr=f"{OTHER_PUBLIC}/32", ports=[80])])) as box:
        assert reached(box, *https("www.test", OTHER_PUBLIC), ("tcp", OTHER_PUBLIC, 80)) == [True, False, True]


def named(service) -> str:
    """The addresses that names have led to, as the router has them: a namespace that only the engine holds."""
    engine = Path(f"/proc/{resolver_of(service)}/status").read_text().split("PPid:\t")[1].split()[0]
    for fd in Path(f"/proc/{engine}/fd").iterdir():
        if str(fd.readlink()).startswith("net:["):
            out = subprocess.run(["nsenter", f"--net={fd}", "nft", "list", "set", "inet", "cwsandbox", "named"], check=False,
                                 capture_output=True, text=True)
            if out.returncode == 0:
                return out.stdout
    raise AssertionError("no router")


def test_grants_go_with_their_sandbox(wired):
    with wired.sandbox(network=granted("www.test", "other.test")) as box:
        look_up(box, "www.test", "other.test")
        assert (PUBLIC in named(wired), OTHER_PUBLIC in named(wired)) == (True, True)
    assert "elements" not in named(wired)


def test_the_resolver_has_no_power(wired):
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{resolver_of(wired)}/status").read_text().splitlines())
    users = set(status["Uid"].split() + status["Gid"].split())
    assert len(users) == 1
    assert int(users.pop()) > 0x70000000 + 65536
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")] == [0] * 4
    assert status["Groups"].strip() == ""
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_another_resolver_follows_one_that_died(wired):
    with wired.sandbox() as box, wired.sandbox(network=granted("other.test")) as narrow:
        before = resolver_of(wired)
        subprocess.run(["kill", "-9", str(before)], check=True)
        assert look_up(box, "www.test") == [[PUBLIC]]
        assert resolver_of(wired) not in (0, before)
        assert codes(narrow, "www.test", "other.test") == [5, 0]


def test_names_go_on_under_another_engine(internet, tmp_path):
    """cwsandbox-launch is replaced while sandboxes run: what they may ask and reach is what it was."""
    for name in ("cwsandbox-launch", "cwsandbox-resolve"):
        shutil.copy(STAGE / "libexec/cwsandbox" / name, tmp_path)
    launch = tmp_path / "cwsandbox-launch"
    service = Service(False, "--network", "egress", "--dns", OUTSIDE, "--launch-path", str(launch),
                      wrapper=internet.inside(internet.machine))
    with service.sandbox(network=granted("www.test", "other.test")) as box, service.sandbox() as free:
        assert reached(box, *https("www.test")) == [True]
        before = resolver_of(service)
        shutil.copy(launch, tmp_path / "new")
        os.replace(tmp_path / "new", launch)
        service.process.send_signal(signal.SIGHUP)
        assert wait_for_end(before, SECONDS)
        assert reached(box, *https(PUBLIC, "other.test", "www.test")) == [True] * 3
        assert codes(box, "many.test") == [5]
        assert look_up(free, "many.test") == [sorted(MANY)]
        assert OTHER_PUBLIC in named(service)
    assert "elements" not in named(service)
    service.stop()


def test_a_package_is_installed_from_an_index_by_name(wired, internet, tmp_path):
    if not Path("/usr/lib/python3/dist-packages/pip").exists():
        pytest.skip("the machine has no pip for sandboxes")
    project = tmp_path / "simple" / "hello-names"
    project.mkdir(parents=True)
    with zipfile.ZipFile(project / "hello_names-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("hello_names.py", "print('installed by name')\n")
        wheel.writestr("hello_names-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello-names\nVersion: 1.0\n")
        wheel.writestr("hello_names-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("hello_names-1.0.dist-info/RECORD", "hello_names.py,,\n")
    internet.start(internet.outside, r"""
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), handler)
sys.stderr = open("/dev/null", "w")
print("listening", flush=True)
server.serve_forever()
""", str(tmp_path))
    with wired.sandbox() as box:
        script = ("python3 -m pip install --quiet --disable-pip-version-check --target /tmp/p --index-url http://index.test:8000/simple"
                  " --trusted-host index.test hello-names && PYTHONPATH=/tmp/p python3 -c 'import hello_names'")
        result = box.exec(["sh", "-c", script]).result(2 * SECONDS)
        assert result.stdout == "installed by name\n", result.stderr
