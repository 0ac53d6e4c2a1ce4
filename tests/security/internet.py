"""A little internet, made of network namespaces.

The *machine*, in which the service runs, an *outside* that has every other address (public ones, a private network, and the one
where clouds tell secrets), and an *inner* network of the machine's. Whoever answers says from which address it was asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SECONDS

needed = [
    pytest.mark.skipif(os.geteuid() != 0, reason="wires are made as root"),
    pytest.mark.skipif(not Path("/usr/sbin/nft").exists(), reason="needs nftables"),
]

MACHINE, OUTSIDE = "203.0.113.1", "203.0.113.2"
PUBLIC, OTHER_PUBLIC = "198.51.100.7", "198.51.100.8"
INNER_GATEWAY, INNER = "192.0.2.1", "192.0.2.2"
PRIVATE, METADATA = "10.77.0.2", "169.254.169.254"
PORTS = (80, 8080)

SERVER = r"""
import selectors, socket, sys
selector = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    s = socket.create_server(("0.0.0.0", port), backlog=64)
    selector.register(s, selectors.EVENT_READ, True)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.setsockopt(socket.SOL_IP, 8, 1)  # IP_PKTINFO: to answer from the address that was asked
    u.bind(("0.0.0.0", port))
    selector.register(u, selectors.EVENT_READ, False)
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        if key.data:
            c, peer = key.fileobj.accept()
            c.sendall(peer[0].encode())
            c.close()
        else:
            _, control, _, peer = key.fileobj.recvmsg(65536, 64)
            asked = control[0][2][8:12]
            key.fileobj.sendmsg([peer[0].encode()], [(socket.SOL_IP, 8, bytes(4) + asked + bytes(4))], 0, peer)
"""

# Authority for every name, by UDP and TCP: {name: addresses, one set an answer, the last one from then on}. A name with `*` has all
# of its labels' names. Not known: NXDOMAIN. `silent`: no answer. `liar`: first the right address under a wrong number and of another
# name. More than ten addresses do not fit a datagram.
NAMES = r"""
import fnmatch, json, socket, struct, sys, threading
zone = json.loads(sys.argv[1])
asked = {}
def name_of(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    return ".".join(labels).lower(), query[12:at + 5]
def answer(query, tcp):
    name, question = name_of(query)
    if name.startswith("silent"):
        return []
    known = next((zone[n] for n in zone if fnmatch.fnmatch(name, n)), None)
    times = asked[name] = asked.get(name, 0) + 1
    addresses = known[min(times, len(known)) - 1] if known and question[-4:] == b"\0\1\0\1" else []
    cut = len(addresses) > 10 and not tcp
    flags = 0x8580 | (0 if known else 3) | (0x200 if cut else 0)
    rows = [] if cut else [b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 1, 4) + socket.inet_aton(a) for a in addresses]
    def message(number, question):
        return number + struct.pack(">HHHHH", flags, 1, len(rows), 0, 0) + question + b"".join(rows)
    right = message(query[:2], question)
    if name.startswith("liar"):
        wrong = b"".join(b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 1, 4) + socket.inet_aton("198.51.100.66") for _ in rows)
        body = struct.pack(">HHHHH", flags, 1, len(rows), 0, 0)
        return [bytes([query[0] ^ 1, query[1]]) + body + question + wrong,
                query[:2] + body + b"\5other" + question + wrong, b"", query[:2], right]
    return [right]
def serve_tcp(c):
    with c:
        while size := c.recv(2, socket.MSG_WAITALL):
            for m in answer(c.recv(struct.unpack(">H", size)[0], socket.MSG_WAITALL), True):
                c.sendall(struct.pack(">H", len(m)) + m)
def listen():
    while True:
        threading.Thread(target=serve_tcp, args=tcp.accept()[:1], daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((sys.argv[2], 53))
tcp = socket.create_server((sys.argv[2], 53))
threading.Thread(target=listen, daemon=True).start()
print("listening", flush=True)
while True:
    query, peer = udp.recvfrom(65536)
    for m in answer(query, False):
        udp.sendto(m, peer)
"""

# One answer a target, "" where there is none. TCP is answered at once either way: what is forbidden is refused, not dropped.
PROBE = r"""
import json, socket, sys
def ask(kind, host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(5 if kind == "tcp" else 2)
    try:
        s.connect((host, port))
        if kind == "udp":
            s.send(b"x")
        return s.recv(64).decode()
    except OSError:
        return ""
    finally:
        s.close()
print(json.dumps([ask(*target) for target in json.loads(sys.argv[1])]))
"""


def ip(*words: str, netns: str = "") -> None:
    subprocess.run(["ip", *(["-n", netns] if netns else []), *words], check=True, stdin=subprocess.DEVNULL)


class Internet:
    def __init__(self) -> None:
        self.machine, self.outside, self.inner = (f"t-{name}-{os.getpid()}" for name in ("machine", "outside", "inner"))
        self.servers: list[subprocess.Popen] = []
        for name in (self.machine, self.outside, self.inner):
            ip("netns", "add", name)
            ip("link", "set", "lo", "up", netns=name)
        self.wire("lan0", self.machine, MACHINE, self.outside, OUTSIDE)
        self.wire("lan1", self.machine, INNER_GATEWAY, self.inner, INNER)
        for address in (PUBLIC, OTHER_PUBLIC, PRIVATE, METADATA):
            ip("addr", "add", f"{address}/32", "dev", "lo", netns=self.outside)
        ip("route", "add", "default", "via", OUTSIDE, netns=self.machine)
        ip("route", "add", "default", "via", INNER_GATEWAY, netns=self.inner)
        ip("route", "add", "192.0.2.0/24", "via", MACHINE, netns=self.outside)
        # Who would answer a sandbox directly, past the machine's translation.
        ip("route", "add", "10.128.0.0/9", "via", MACHINE, netns=self.outside)
        self.serve(self.outside, *PORTS)
        self.serve(self.machine, *PORTS)

    @staticmethod
    def wire(device: str, one: str, one_address: str, two: str, two_address: str) -> None:
        ip("link", "add", device, "netns", one, "type", "veth", "peer", "name", device, "netns", two)
        for name, address in ((one, one_address), (two, two_address)):
            ip("addr", "add", f"{address}/24", "dev", device, netns=name)
            ip("link", "set", device, "up", netns=name)

    def inside(self, netns: str) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{netns}")

    def serve(self, netns: str, *ports: int) -> None:
        self.start(netns, SERVER, *map(str, ports))

    def serve_names(self, zone: dict[str, list[list[str]]], address: str = OUTSIDE) -> None:
        self.start(self.outside, NAMES, json.dumps(zone), address)

    def start(self, netns: str, script: str, *args: str) -> None:
        """Runs `script`, which says when it listens."""
        server = subprocess.Popen([*self.inside(netns), sys.executable, "-c", script, *args],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        assert server.stdout and server.stdout.readline() == "listening\n"

    def run(self, *command: str) -> str:
        """On the machine."""
        return subprocess.run([*self.inside(self.machine), *command], check=True, capture_output=True, text=True).stdout

    def forwards(self) -> bool:
        return self.run("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"

    def leftovers(self) -> list[str]:
        devices = [line.split()[1] for line in self.run("ip", "-o", "link").splitlines()]
        return [d for d in devices if d.startswith("cws")] + self.run("nft", "list", "tables").splitlines()

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            if server.stdout:
                server.stdout.close()
        for name in (self.machine, self.outside, self.inner):
            subprocess.run(["ip", "netns", "del", name], check=False)


def ask(sandbox, *targets) -> list[str]:
    result = sandbox.exec(["python3", "-c", PROBE, json.dumps(targets)]).result(SECONDS)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def reached(sandbox, *targets) -> list[bool]:
    return [answer != "" for answer in ask(sandbox, *targets)]
