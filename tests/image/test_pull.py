"""Images from registries: a real one with TLS and passwords, and one that does what registries should not."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from making import ARCHITECTURE, OCI, DIRECTORY, Layout, sha256, tar_of
from registry import ScriptedRegistry, basic, real_registries


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, stdout=subprocess.PIPE).stdout


LAYERS = [tar_of(("etc/", DIRECTORY), (f"etc/f{i}", os.urandom(300_000)), ("etc/.wh.old", b"")) for i in range(6)]


@pytest.fixture
def real():
    with real_registries() as start:
        yield start


@pytest.fixture
def scripted():
    layout = Layout()
    registry = ScriptedRegistry(layout, layout.image(LAYERS[:2], Env=["A=b"]))
    yield registry
    registry.stop()


def blobs(registry: ScriptedRegistry) -> list[str]:
    """Digests of the layers, from the lowest."""
    manifest = json.loads(registry.layout.blobs[registry.descriptor["digest"][7:]])
    return [layer["digest"][7:] for layer in manifest["layers"]]


def configure(images, *lines: str) -> None:
    path = images.directory / "config" / "cwsandbox" / "registries.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def log_in(images, host: str, user: str, password: str) -> None:
    path = images.directory / ".docker" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"auths": {host: {"auth": basic(user, password)}}}))


def test_a_real_registry_on_loopback_needs_no_configuration(images, real):
    registry, layout = real(), Layout()
    registry.push("team/app", "1", layout, layout.image(LAYERS, Cmd=["x"]))
    images.ok("pull", f"{registry.host}/team/app:1")
    value = images.inspect(f"{registry.host}/team/app:1")
    assert value["layers"] == [sha256(layer) for layer in LAYERS] and value["cmd"] == ["x"]
    for i, layer in enumerate(images.layers(f"{registry.host}/team/app:1")):
        assert (layer / f"etc/f{i}").stat().st_size == 300_000
    images.ok("pull", f"{registry.host}/team/app@{value['manifest']}")
    assert "there is none" in images.refused("pull", f"{registry.host}/team/app:2")
    assert list((images.store / "partial").iterdir()) == list((images.store / "tmp").iterdir()) == []


def test_a_real_registry_with_tls_and_passwords(images, real):
    registry, layout = real(tls=True, login=("me", "s:cret")), Layout()
    here = layout.image(LAYERS[:2], pack=zstd)
    index = layout.index({**layout.image(LAYERS[2:3]), "platform": {"os": "linux", "architecture": "mips"}},
                         {**here, "platform": {"os": "linux", "architecture": ARCHITECTURE}})
    registry.push("app", "1", layout, index)
    name = f"{registry.host}/app:1"
    assert "certificate" in images.refused("pull", name)
    configure(images, "# ours", f"ca = {registry.host} {registry.certificate}")
    assert "Docker's config file has none" in images.refused("pull", name)
    log_in(images, registry.host, "me", "wrong")
    assert "refuses" in images.refused("pull", name)
    log_in(images, registry.host, "me", "s:cret")
    images.ok("pull", name)
    assert images.inspect(name)["manifest"] == here["digest"]


def test_a_connection_that_breaks_goes_on_where_it_ended(images, scripted):
    first = blobs(scripted)[0]
    scripted.break_after[first] = 100_000
    images.ok("pull", f"{scripted.host}/any/name:1")
    ranges = [wanted for path, wanted, _ in scripted.asked if path.endswith(first)]
    assert ranges == [None] + [f"bytes={n}00000-" for n in range(1, len(ranges))] and len(ranges) > 2


def test_the_next_pull_goes_on_where_the_last_one_gave_up(images, scripted):
    first = blobs(scripted)[0]
    whole = scripted.layout.blobs[first]
    scripted.layout.blobs[first] = whole[:70_000]  # the registry lost the rest
    assert "were promised" in images.refused("pull", f"{scripted.host}/any/name:1")
    scripted.layout.blobs[first] = whole
    scripted.asked.clear()
    images.ok("pull", f"{scripted.host}/any/name:1")
    assert [wanted for path, wanted, _ in scripted.asked if path.endswith(first)] == ["bytes=70000-"]


def test_a_part_that_was_wrong_is_fetched_again(images, scripted):
    first = blobs(scripted)[0]
    images.ok("ls")
    (images.store / "partial" / first).write_bytes(b"x" * 1000)
    os.chown(images.store / "partial" / first, images.uid, images.uid)
    images.ok("pull", f"{scripted.host}/any/name:1")
    assert [wanted for path, wanted, _ in scripted.asked if path.endswith(first)] == ["bytes=1000-", None]


def test_a_server_without_ranges_begins_anew(images, scripted):
    first = blobs(scripted)[0]
    images.ok("ls")
    (images.store / "partial" / first).write_bytes(scripted.layout.blobs[first][:1000])
    os.chown(images.store / "partial" / first, images.uid, images.uid)
    scripted.ranges = False
    images.ok("pull", f"{scripted.host}/any/name:1")


def test_a_server_that_is_busy_is_asked_again(images, scripted):
    scripted.failures = 2
    images.ok("pull", f"{scripted.host}/any/name:1")


@pytest.mark.parametrize("lie", ["layer", "config", "manifest", "long", "diff id"])
def test_a_registry_that_lies_is_refused(images, scripted, lie):
    name, stored = f"{scripted.host}/any/name:1", scripted.layout.blobs
    if lie == "layer":
        first = blobs(scripted)[0]
        stored[first] = stored[first][:-1] + bytes([stored[first][-1] ^ 1])
    elif lie == "config":
        digest = next(d for d, data in stored.items() if b"rootfs" in data)
        stored[digest] = stored[digest].replace(b"A=b", b"A=c")
    elif lie == "manifest":
        name = f"{scripted.host}/any/name@sha256:" + "0" * 64
    elif lie == "long":
        scripted.add = b" " * 10
    else:
        descriptor = scripted.layout.add(json.dumps({**json.loads(stored[scripted.descriptor["digest"][7:]]), "config": scripted.layout.add(
            json.dumps({"os": "linux", "architecture": ARCHITECTURE, "rootfs": {"diff_ids": ["sha256:" + "1" * 64] * 2}}).encode(),
            OCI + "config.v1+json")}).encode(), OCI + "manifest.v1+json")
        scripted.descriptor = descriptor
    said = images.refused("pull", name)
    assert "promised" in said or "longer than" in said, said
    assert json.loads(images.ok("ls", "-o", "json")) == []


def test_a_token_is_fetched_and_shown_to_the_registry_alone(images, scripted):
    elsewhere = ScriptedRegistry(scripted.layout, scripted.descriptor)
    scripted.token, scripted.redirect = "t0ken", f"http://{elsewhere.host}"
    log_in(images, scripted.host, "me", "secret")
    images.ok("pull", f"{scripted.host}/any/name:1")
    elsewhere.stop()
    tokens = [(path, authorization) for path, _, authorization in scripted.asked if path.startswith("/token")]
    assert tokens == [("/token?x=1&service=svc%2C%20with%20comma&scope=repository%3Aany%2Fname%3Apull", "Basic " + basic("me", "secret"))]
    assert len(elsewhere.asked) >= 3 and {authorization for _, _, authorization in elsewhere.asked} == {None}


def test_mirrors_are_asked_first_and_passed_over(images, scripted):
    configure(images, "mirror = example.invalid http://127.0.0.1:1/", f"mirror = example.invalid http://{scripted.host}")
    images.ok("pull", "example.invalid/any/name:1")
    assert images.inspect("example.invalid/any/name:1")["env"] == ["A=b"]


def test_plain_http_elsewhere_needs_a_word(images):
    said = images.refused("pull", "example.invalid/any/name:1")
    assert "example.invalid" in said
    configure(images, "plain-http = example.invalid", "nonsense")
    assert "registries.conf:2: none of" in images.refused("pull", "example.invalid/any/name:1")


def test_layers_that_are_there_are_not_fetched(images, scripted):
    images.ok("pull", f"{scripted.host}/any/name:1")
    scripted.asked.clear()
    images.ok("pull", f"{scripted.host}/any/name:2")
    assert not [path for path, _, _ in scripted.asked if path.rsplit(":", 1)[-1] in blobs(scripted)]


def test_many_pulls_at_once_fetch_each_layer_once(images, scripted):
    running = [images.start("pull", f"{scripted.host}/any/name:{i}") for i in range(5)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for digest in blobs(scripted):
        assert len([path for path, _, _ in scripted.asked if path.endswith(digest)]) == 1
