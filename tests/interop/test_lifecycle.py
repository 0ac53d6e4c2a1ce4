"""Start, shutdown, and what is left behind."""

import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from raw_h2 import DATA, END_HEADERS, END_STREAM, HEADERS, REFUSED_STREAM, RST_STREAM, Peer, call_headers, frame, message_prefix
from service import KEY, OPTIONS, TIMEOUT, USER_ID, Service, as_user_args, clean_env, failure, free_port, programs
from test_exec import Requests


def descendants(pid):
    """The service's processes and theirs, by the kernel's own list."""
    found, pending = [], [pid]
    while pending:
        p = pending.pop()
        try:
            children = Path(f"/proc/{p}/task/{p}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
        pending += map(int, children)
    return found


def wait_gone(pids):
    """Blocks until every process is gone: a pidfd becomes readable at its process's end."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ready, _, _ = select.select([fd], [], [], TIMEOUT)
        os.close(fd)
        assert ready, f"{pid} is still there"


def cgroups_of_services():
    """The directory of each service, in every hierarchy."""
    return set(Path("/sys/fs/cgroup").glob("*/cwsandbox/*/")) | set(Path("/sys/fs/cgroup").glob("cwsandbox/*/"))


def service_name(service):
    line = next(line for line in service.log().splitlines() if " starting " in line)
    return line.split("service=")[1].split()[0]


def sandbox_cgroups(service):
    """In every hierarchy; os.walk bears that other services' cgroups vanish meanwhile."""
    name = service_name(service)
    return [(top, dirs) for top, dirs, _ in os.walk("/sys/fs/cgroup") if top.endswith(name) and dirs]


def stop_leaves_nothing(service, signo=signal.SIGTERM):
    processes = descendants(service.process.pid)
    service.stop(signo)
    assert service.process.wait(TIMEOUT) == 0
    wait_gone(processes)
    assert not service.socket.exists()
    assert sandbox_cgroups(service) == []


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_nothing(own_service, signo):
    service = own_service()
    for _ in range(3):
        service.create("/bin/sh", ["-c", "trap '' TERM; setsid sleep 1000 & sleep 1000"])
    assert len(descendants(service.process.pid)) > 3
    stop_leaves_nothing(service, signo)


def test_a_low_soft_limit_of_descriptors_is_raised(own_service):
    """That of the shell or the program which starts it; the hard limit is what counts."""
    service = own_service(wrapper=["prlimit", "--nofile=60:"])
    assert service.create().run("echo", "hi").stdout == b"hi\n"


def test_a_service_without_standard_streams(own_service):
    """None of its own descriptors takes the place of one, and gets the log."""
    service = own_service(wrapper=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    box = service.create()
    assert box.run("echo", "hi").stdout == b"hi\n"
    streams = [os.readlink(f"/proc/{service.process.pid}/fd/{fd}") for fd in range(3)]
    service.stop()
    assert service.process.wait(TIMEOUT) == 0
    assert streams == ["/dev/null"] * 3


def test_a_killed_service_leaves_nothing_running(own_service):
    service = own_service()
    service.create("/bin/sleep", ["1000"])
    processes = descendants(service.process.pid)
    service.process.kill()
    service.process.wait()
    wait_gone(processes)
    assert sandbox_cgroups(service) == []


def test_a_peers_words_stay_inside_their_value_of_the_log(own_service):
    service = own_service()
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        containers=[pb.Container(name="main", image='x" owner=uid:0 id="\\"\nwarn sandbox_ended id=')])))
    box = service.stub.CreateSandbox(request, timeout=TIMEOUT)
    assert box.status.state == pb.STATE_FAILED
    line = service.wait_log(f"sandbox_ended id={box.sandbox_id}")
    assert re.fullmatch(r'\S+ warn sandbox_ended( \w+=("[^"\\]*"|[^" ]+))+\n', line), line


def test_open_calls_may_finish_while_the_service_stops(own_service):
    service = own_service()
    box = service.create()
    requests = Requests()
    call = box.stream("/bin/sh", "-c", "read x; echo got $x", requests=requests)
    assert next(call).WhichOneof("message") == "ready"
    waiting = service.stub.GetSandbox.future(pb.GetSandboxRequest(sandbox_id=box.id), timeout=TIMEOUT,
                                             metadata=[("x-cwsandbox-wait", "terminal")])
    box.run("true") # in order on the connection: the wait above has arrived
    service.stop()
    assert waiting.result().status.state == pb.STATE_RUNNING, "a long poll is answered at once"
    requests.send(pb.ExecStreamRequest(stdin=b"word\n"))
    requests.done()
    frames = list(call)
    assert frames[0].output.data == b"got word\n" and frames[-1].exit.exit_code == 0
    assert service.process.wait(TIMEOUT) == 0


def test_a_sandbox_asked_for_while_the_service_stops_is_refused_unmade(own_service):
    """The request was on its way: HTTP/2's word for "not processed, try elsewhere", and no sandbox that ends at once."""
    service = own_service()
    peer = Peer(str(service.socket))
    service.stop()
    service.wait_log("stopping")
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        containers=[pb.Container(name="main", image="host")]))).SerializeToString()
    path = "/coreweave.sandbox.v1.SandboxService/CreateSandbox"
    peer.send(frame(HEADERS, END_HEADERS, 1, call_headers(path)) +
              frame(DATA, END_STREAM, 1, message_prefix(len(request)) + request))
    answers = []
    while not answers:
        kind, _, stream, payload = peer.receive()
        answers += [(kind, payload)] if stream == 1 and kind in (HEADERS, RST_STREAM) else []
    assert answers == [(RST_STREAM, REFUSED_STREAM.to_bytes(4, "big"))]
    peer.socket.close()
    assert service.process.wait(TIMEOUT) == 0
    assert "sandbox_running" not in service.log()


def test_a_call_that_does_not_end_is_ended(own_service):
    service = own_service()
    call = service.create().stream("sleep", "1000", requests=Requests())
    assert next(call).WhichOneof("message") == "ready"
    service.stop()
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert service.process.wait(TIMEOUT) == 0


def test_a_second_signal_ends_it_at_once(own_service):
    service = own_service()
    call = service.create().stream("sleep", "1000", requests=Requests())
    assert next(call).WhichOneof("message") == "ready"
    processes = descendants(service.process.pid)
    service.stop()
    service.wait_log("stopping")
    service.stop()
    assert service.process.wait(2) == 1
    wait_gone(processes)
    service.expect_ready = False # its exit status is not 0, as it should be


def test_the_next_service_waits_for_the_end_of_a_killed_ones_sandboxes(own_service):
    """Its launch has the cgroups of the name until it has ended them all."""
    name = ["--service-name", f"test-{uuid.uuid4().hex[:12]}"]
    service = own_service(args=name)
    service.create("/bin/sleep", ["1000"])
    processes = descendants(service.process.pid)
    launch = next(p for p in processes if "cwsandbox-launch" in Path(f"/proc/{p}/cmdline").read_text())
    os.kill(launch, signal.SIGSTOP)
    service.process.kill()
    service.process.wait()
    go_on = threading.Timer(1, os.kill, (launch, signal.SIGCONT))  # time to run into it, for who does not wait
    go_on.start()
    later = own_service(args=name)
    assert later.create().run("echo", "hi").stdout == b"hi\n"
    go_on.join()
    wait_gone(processes)


def test_a_lost_launch_ends_the_service(own_service):
    service = own_service()
    service.create("/bin/sleep", ["1000"])
    processes = descendants(service.process.pid)
    launch = next(p for p in processes if "cwsandbox-launch" in Path(f"/proc/{p}/cmdline").read_text())
    os.kill(launch, signal.SIGKILL)
    assert service.process.wait(TIMEOUT) == 1
    assert "runtime_lost" in service.log()
    wait_gone(processes)
    service.expect_ready = False
    # Nobody was left to remove its cgroups; the next service on the same data does.
    again = own_service(args=["--data-dir", str(service.dir / "data")])
    assert service_name(again) == service_name(service)
    again.stop()
    assert again.process.wait(TIMEOUT) == 0
    assert sandbox_cgroups(service) == []


def test_nothing_is_privileged_once_it_listens(own_service):
    service = own_service()
    status = Path(f"/proc/{service.daemon_pid()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", *(("CapBnd",) if not service.as_user else ())):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"] == "1"
    if not service.as_user:  # nobody else has this uid, and no sandbox can have it
        assert fields["Uid"].split() == fields["Gid"].split() == ["1879113728"] * 4
        assert fields["Groups"].strip() == ""
    box = service.create()
    box.write("/tmp/x", b"x" * (1 << 20)) # libuv's threads exist now
    for task in Path(f"/proc/{service.daemon_pid()}/task").iterdir():
        assert "CapEff:\t0000000000000000" in (task / "status").read_text()


def test_one_service_per_data_directory(own_service):
    service = own_service()
    daemon, launch, init = programs()
    second = subprocess.run(
        [str(daemon), "--config", "/dev/null", "--listen", f"unix://{service.dir}/other", "--data-dir",
         str(service.dir / "data"), "--launch-path", str(launch), "--init-path", str(init)],
        capture_output=True, text=True, timeout=TIMEOUT, env=clean_env(service.dir), **as_user_args(service.as_user))
    assert second.returncode == 1 and "another service uses the data directory" in second.stderr


def test_an_address_in_use_is_named_and_the_socket_stays(own_service):
    first = own_service()
    second = own_service(args=["--listen", f"unix://{first.socket}"], expect_ready=False)
    assert f"another service listens on `{first.socket}`" in second.ready
    assert second.process.wait(TIMEOUT) == 1
    assert first.create().delete()


def test_a_stale_socket_is_replaced(own_service):
    first = own_service()
    first.process.kill()
    first.process.wait()
    assert first.socket.exists()
    second = own_service(args=["--listen", f"unix://{first.socket}"])
    with grpc.insecure_channel(first.unix, OPTIONS) as channel:
        rpc.SandboxServiceStub(channel).ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT)
    assert second.ready == "ready"


@pytest.mark.parametrize("args, text", [
    (["--no-such-flag"], "unknown flag `--no-such-flag`"),
    (["--launch-path", "/nonexistent"], "/nonexistent"),
    (["--listen", "ftp://x"], "http or https"),
    (["--listen", "https://127.0.0.1:1"], "--tls-cert"),
    (["--listen", "unix:///nonexistent/directory/s"], "No such file or directory"),
    (["--api-keys", "/nonexistent"], "/nonexistent"),
    (["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], "/nonexistent"),
])
def test_the_starter_is_told_what_is_wrong(own_service, args, text):
    service = own_service(args=args, expect_ready=False)
    assert text in service.ready
    assert service.process.wait(TIMEOUT) in (1, 2)


def test_a_low_port_is_for_root(own_service):
    service = own_service(args=["--listen", "http://127.0.0.1:1"], expect_ready=None)
    assert service.ready == "ready" if not service.as_user else "ip_unprivileged_port_start" in service.ready


@pytest.mark.parametrize("as_user, stage", [(True, "user namespace"), (False, "clone host directories")])
def test_a_machine_that_lacks_what_sandboxes_need_is_explained(as_user, stage):
    """In a user namespace that maps nobody the kernel refuses the next one, as a machine that forbids them does."""
    if not as_user and os.geteuid() != 0:
        pytest.skip("needs root")
    before = cgroups_of_services()
    outer = ["unshare", "-U"] if as_user else [
        "unshare", "-U", "-r", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"]
    with Service(as_user, wrapper=outer, expect_ready=False) as service:
        assert service.process.wait(TIMEOUT) == 1
        assert f"start cwsandbox-launch: {stage}: Operation not permitted: " in service.ready
        assert "or start as root" in service.ready or "start as root of the machine, or" in service.ready
    assert cgroups_of_services() <= before


def test_tcp_without_keys_needs_the_operators_word(own_service):
    refused = own_service(keys=False, expect_ready=False)
    assert "--allow-unauthenticated" in refused.ready
    service = own_service(keys=False, args=["--allow-unauthenticated"])
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        box = service.create(stub=rpc.SandboxServiceStub(channel))
        assert box.run("true").exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_the_unix_socket_serves_named_users_only(own_service):
    """Two services of root: one that allows the user, one that does not."""
    code = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
            "s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0,0,0,4,0,0,0,0,0])); "
            "sys.exit(0 if s.recv(1) else 3)")
    for args, served in ((["--unix-allow-uid", str(USER_ID)], True), (["--unix-allow-uid", "1"], False), ([], False)):
        service = own_service(args=args)
        if service.as_user:
            return
        service.dir.chmod(0o755)
        child = subprocess.run(["python3", "-c", code, str(service.socket)], user=USER_ID, group=USER_ID,
                               extra_groups=[], capture_output=True, timeout=TIMEOUT, env={"PATH": "/usr/bin:/bin"})
        assert (child.returncode == 0) == served, child.stderr


def test_a_silent_connection_is_closed():
    with Service() as service, socket.create_connection(("127.0.0.1", service.port)) as s:
        s.settimeout(20)
        s.sendall(b"PRI * HTTP/2.0") # a preface that never ends
        while s.recv(4096):
            pass
        assert "no HTTP/2 preface" in service.log()


def test_systemd_is_notified(own_service, monkeypatch):
    name = f"@cws-interop-{os.getpid()}" # abstract: any user may send to it
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name[1:])
        s.settimeout(TIMEOUT)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        service = own_service()
        assert s.recv(100) == b"READY=1"
        service.stop()
        assert s.recv(100) == b"STOPPING=1"


def test_check_config_checks_and_leaves(tmp_path):
    daemon, _, _ = programs()
    config = tmp_path / "c"
    config.write_text(f"listen = http://127.0.0.1:{free_port()}\napi-keys = {tmp_path}/keys\n")
    keys = tmp_path / "keys"
    keys.write_text("a:interop-key-9\n")
    keys.chmod(0o600)
    command = [str(daemon), "--config", str(config), "--check-config"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert run.returncode == 0 and "configuration ok: 1 listeners, 1 API keys" in run.stdout
    keys.chmod(0o644)
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert run.returncode == 2 and "0644" in run.stderr
    config.write_text("\n\nbogus = 1\n")
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert run.returncode == 2 and f"{config}:3: unknown key `bogus`" in run.stderr


@pytest.fixture
def certificate(own_service):
    """A function that makes (anew) a certificate for 127.0.0.1, and gives the files: certificate, key."""
    readable = Path(tempfile.mkdtemp(prefix="cws-interop-")) # the other user cannot enter tmp_path
    readable.chmod(0o755)

    def make():
        cert, key = readable / "cert.pem", readable / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert),
                        "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
        if own_service.as_user and os.geteuid() == 0:
            os.chown(key, USER_ID, USER_ID)
        return cert, key

    yield make
    shutil.rmtree(readable)


def presented(port):
    """The certificate that a new connection gets, in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as s, context.wrap_socket(s) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))


def test_a_renewed_certificate_is_read_on_sighup(own_service, certificate):
    """Without a restart, which would end every sandbox; connections that are open stay."""
    cert, key = certificate()
    port = free_port()
    service = own_service(args=["--listen", f"https://127.0.0.1:{port}", "--tls-cert", str(cert), "--tls-key", str(key)])
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(cert.read_bytes()), OPTIONS) as channel:
        box = service.create(stub=rpc.SandboxServiceStub(channel), metadata=[("authorization", f"Bearer {KEY}")])
        certificate()
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("certificate_loaded")
        assert presented(port).split() == cert.read_text().split()
        assert box.run("echo", "still").stdout == b"still\n"
    good = cert.read_text()
    cert.write_text("broken")
    service.process.send_signal(signal.SIGHUP)
    assert "cert.pem" in service.wait_log("certificate_kept")
    assert presented(port).split() == good.split()


def test_https_serves_callers_with_a_key(own_service, certificate):
    cert, key = certificate()
    port = free_port()
    service = own_service(args=["--listen", f"https://127.0.0.1:{port}", "--tls-cert", str(cert),
                                "--tls-key", str(key)])
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, OPTIONS) as channel:
        stub = rpc.SandboxServiceStub(channel)
        box = service.create(stub=stub, metadata=[("authorization", f"Bearer {KEY}")])
        assert box.run("echo", "over tls").stdout == b"over tls\n"
        assert failure(stub.ListSandboxes, pb.ListSandboxesRequest(), timeout=TIMEOUT).code \
            == grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
        rpc.SandboxServiceStub(channel).ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT)
