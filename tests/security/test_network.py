"""A sandbox with a network reaches what it was granted, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import SECONDS, Service, family, kill_all
from internet import (
    INNER, INNER_GATEWAY, MACHINE, METADATA, OTHER_PUBLIC, OUTSIDE, PRIVATE, PROBE, PUBLIC, SERVER, Internet, ask, needed,
    reached,
)

from cwsandbox import CidrBlock, EgressRule, NetworkOptions

pytestmark = needed


@pytest.fixture(scope="module")
def internet():
    made = Internet()
    yield made
    made.close()


@pytest.fixture(scope="module")
def wired(internet):
    service = Service(False, "--network", "egress-private", wrapper=internet.inside(internet.machine))
    yield service
    service.stop()
    assert internet.leftovers() == []
    assert not internet.forwards()


def address_of(sandbox) -> str:
    script = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('198.51.100.7', 9));"
              "print(s.getsockname()[0])")
    return sandbox.exec(["python3", "-c", script]).result(SECONDS).stdout.strip()


def init_of(sandbox) -> int:
    """Any process of it, as the machine counts them."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/{sandbox.sandbox_id}" in (process / "cgroup").read_text():
                return int(process.name)
        except OSError:
            continue  # it ended while we looked
    raise AssertionError(f"{sandbox.sandbox_id} has no process")


def tcp(*hosts: str, port: int = 80) -> list:
    return [("tcp", host, port) for host in hosts]


def test_public_addresses_are_reached_and_see_the_machines(wired):
    with wired.sandbox() as box:
        assert ask(box, *tcp(PUBLIC, OUTSIDE), ("udp", PUBLIC, 80)) == [MACHINE] * 3
        assert [rule.any for rule in box.effective_egress] == [True]


def test_private_addresses_metadata_and_the_machine_are_not(wired):
    with wired.sandbox() as box:
        own = address_of(box)
        base = own.rsplit(".", 2)[0]
        hosts = [PRIVATE, METADATA, MACHINE, f"{base}.0.1", f"{base}.0.2", "169.254.1.1"]
        assert reached(box, *tcp(*hosts), *[("udp", host, 80) for host in hosts]) == [False] * 2 * len(hosts)


def test_a_neighbour_is_not_reached(wired):
    with wired.sandbox(command="python3", args=["-c", SERVER, "80"]) as one, wired.sandbox() as two:
        neighbour = address_of(one)
        assert reached(one, ("tcp", neighbour, 80)) == [True]
        assert address_of(two) != neighbour
        assert reached(two, ("tcp", neighbour, 80), ("udp", neighbour, 80)) == [False, False]


def test_nobody_outside_begins_a_conversation(wired, internet):
    with wired.sandbox(command="python3", args=["-c", SERVER, "80"]) as box:
        address = address_of(box)
        assert reached(box, ("tcp", address, 80)) == [True]
        out = subprocess.run([*internet.inside(internet.outside), sys.executable, "-c", PROBE,
                              json.dumps([("tcp", address, 80), ("udp", address, 80)])],
                             check=True, capture_output=True, text=True).stdout
        assert json.loads(out) == ["", ""]


def test_denied_means_a_loopback_and_nothing_else(wired):
    with wired.sandbox(network=NetworkOptions(deny_egress=True)) as box:
        began = time.monotonic()
        assert reached(box, *tcp(PUBLIC, MACHINE, METADATA)) == [False] * 3
        assert time.monotonic() - began < SECONDS
        devices = box.exec(["ls", "/proc/self/net/dev_snmp6"]).result(SECONDS).stdout.split()
        assert devices == ["lo"]
        assert box.effective_egress == ()


def test_a_block_with_exceptions_and_ports(wired):
    rules = [EgressRule(cidr=CidrBlock(cidr="198.51.100.0/24", except_cidrs=("198.51.100.8/32",)), ports=[80]),
             EgressRule(cidr="203.0.113.2/32")]
    with wired.sandbox(network=NetworkOptions(egress=rules)) as box:
        assert reached(box, *tcp(PUBLIC, OTHER_PUBLIC, OUTSIDE, PRIVATE, MACHINE, METADATA)) == [
            True, False, True, False, False, False]
        assert reached(box, *tcp(PUBLIC, OUTSIDE, port=8080), ("udp", PUBLIC, 80), ("udp", OUTSIDE, 8080)) == [
            False, True, True, True]
        assert [rule.cidr.cidr for rule in box.effective_egress if rule.cidr] == ["198.51.100.0/24", "203.0.113.2/32"]
        assert box.effective_egress[0].cidr.except_cidrs == ("198.51.100.8/32",)


def test_a_private_block_is_reached_by_who_names_it_and_the_machine_by_nobody(wired):
    everything = [EgressRule(cidr="0.0.0.0/0"), EgressRule(cidr="10.0.0.0/8"), EgressRule(any=True, ports=[80])]
    with wired.sandbox(network=NetworkOptions(egress=everything)) as box, \
            wired.sandbox(command="python3", args=["-c", SERVER, "80"]) as neighbour:
        base = address_of(box).rsplit(".", 2)[0]
        assert reached(box, *tcp(PRIVATE, PUBLIC)) == [True, True]
        assert reached(box, *tcp(METADATA, MACHINE, f"{base}.0.1", f"{base}.0.2", address_of(neighbour))) == [False] * 5


def test_rules_of_one_sandbox_are_not_anothers_and_go_with_it(wired):
    only = NetworkOptions(egress=[EgressRule(cidr=f"{OUTSIDE}/32")])
    with wired.sandbox() as open_box:
        for _ in range(3):
            with wired.sandbox(network=only) as box:
                assert reached(box, *tcp(PUBLIC, OUTSIDE)) == [False, True]
        assert reached(open_box, *tcp(PUBLIC)) == [True]


def test_a_sandbox_speaks_with_no_address_but_its_own(wired, internet):
    """Even whoever has all power over its namespace (which nobody inside has) cannot use a neighbour's grant."""
    granted = NetworkOptions(egress=[EgressRule(cidr=f"{PUBLIC}/32")])
    with wired.sandbox(network=granted) as neighbour, wired.sandbox(network=NetworkOptions(egress=[
            EgressRule(cidr=f"{OTHER_PUBLIC}/32")])) as box:
        stolen = address_of(neighbour)
        enter = ["nsenter", f"--net=/proc/{init_of(box)}/ns/net"]
        subprocess.run([*enter, "ip", "addr", "add", f"{stolen}/32", "dev", "eth0"], check=True)
        probe = f"import socket; s = socket.create_connection(('{PUBLIC}', 80), 2, ('{stolen}', 0)); print(s.recv(9))"
        assert subprocess.run([*enter, sys.executable, "-c", probe], capture_output=True, check=False).returncode != 0
        assert reached(neighbour, *tcp(PUBLIC)) == [True]


def test_a_sandbox_has_no_power_over_its_device(wired):
    with wired.sandbox() as box:
        script = r"""
import fcntl, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for what in (lambda: fcntl.ioctl(s, 0x8916, struct.pack("16sH2s4s8x", b"eth0", 2, b"", socket.inet_aton("10.220.0.9"))),
             lambda: fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"eth0", 0)),
             lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255),
             lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
             lambda: s.setsockopt(socket.SOL_IP, 19, 1)):
    try:
        what()
    except OSError:
        continue
    print("did", what)
"""
        assert box.exec(["python3", "-c", script]).result(SECONDS).stdout == ""


def test_fifty_at_once_have_an_address_each(wired):
    with ThreadPoolExecutor(16) as pool:
        boxes = list(pool.map(lambda _: wired.sandbox().__enter__(), range(50)))
        try:
            assert len({address_of(box) for box in boxes}) == 50
            assert all(pool.map(lambda box: reached(box, *tcp(PUBLIC)) == [True], boxes))
        finally:
            list(pool.map(lambda box: box.__exit__(None, None, None), boxes))


def test_the_machine_passes_on_no_more_than_before(wired, internet):
    """Forwarding had to be switched on. Between its own devices the machine still passes nothing."""
    assert internet.forwards()
    probe = [*internet.inside(internet.inner), sys.executable, "-c", PROBE]
    out = subprocess.run([*probe, json.dumps([("tcp", PUBLIC, 80), ("tcp", INNER_GATEWAY, 80)])], check=True,
                         capture_output=True, text=True).stdout
    assert json.loads(out) == ["", INNER]


def test_what_a_killed_service_left_is_replaced(internet):
    service = Service(False, "--network", "egress", "--service-name", "t-killed", wrapper=internet.inside(internet.machine))
    with service.sandbox() as box:
        assert reached(box, *tcp(PUBLIC)) == [True]
    kill_all([pid for pid, _ in family(service.process.pid)])
    service.process.wait()
    assert any("cwsandbox-t-killed" in line for line in internet.leftovers())
    service = Service(False, "--network", "egress", "--service-name", "t-killed", wrapper=internet.inside(internet.machine))
    with service.sandbox() as box:
        assert reached(box, *tcp(PUBLIC, PRIVATE)) == [True, False]
    service.stop()
    assert not any("t-killed" in line for line in internet.leftovers())


def test_networks_and_rules_outlive_an_upgrade(internet):
    before = internet.leftovers()
    service = Service(False, "--network", "egress-private", wrapper=internet.inside(internet.machine))
    rules = [EgressRule(cidr=f"{PUBLIC}/32")]
    with service.sandbox() as anything, service.sandbox(network=NetworkOptions(egress=rules)) as ruled:
        addresses = [address_of(box) for box in (anything, ruled)]
        service.process.send_signal(signal.SIGUSR2)
        end = time.monotonic() + SECONDS
        while "reloaded" not in service.log() and time.monotonic() < end:
            time.sleep(0.01)
        assert reached(anything, *tcp(PUBLIC, OTHER_PUBLIC, MACHINE, METADATA)) == [True, True, False, False]
        assert reached(ruled, *tcp(PUBLIC, OTHER_PUBLIC, MACHINE, METADATA)) == [True, False, False, False]
        for _ in range(3):
            with service.sandbox() as fresh:
                assert address_of(fresh) not in addresses
                assert reached(fresh, *tcp(OTHER_PUBLIC, addresses[0])) == [True, False]
    service.stop()
    assert sorted(internet.leftovers()) == sorted(before)


def test_two_services_share_a_machine(wired, internet):
    second = Service(False, "--network", "egress", "--service-name", "t-second", wrapper=internet.inside(internet.machine))
    with second.sandbox() as theirs, wired.sandbox() as ours:
        assert reached(ours, *tcp(PUBLIC, address_of(theirs))) == [True, False]
        assert reached(theirs, *tcp(PUBLIC, address_of(ours))) == [True, False]
    second.stop()
    assert internet.forwards()
    with wired.sandbox() as box:
        assert reached(box, *tcp(PUBLIC)) == [True]


def test_auto_is_what_the_machine_can_give(internet):
    """With nft a network, without it none, and the log says why; nothing is left of the attempt."""
    before = internet.leftovers()
    hidden = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /usr/sbin/nft && exec "$@"', "sh")
    for wrapper, can in (((), True), (hidden, False)):
        service = Service(False, "--network", "auto", wrapper=(*internet.inside(internet.machine), *wrapper))
        with service.sandbox() as box:
            assert reached(box, *tcp(PUBLIC, PRIVATE)) == [can, False]
            assert [rule.any for rule in box.effective_egress] == [True] * can
        assert ("network: sandboxes cannot have one" in service.log()) is not can
        service.stop()
        assert sorted(internet.leftovers()) == sorted(before)


def test_an_ordinary_user_is_told_why_not(own_service):
    with pytest.raises(AssertionError, match="network: sandboxes cannot have one: an ordinary user"):
        own_service(True, "--network", "egress")
