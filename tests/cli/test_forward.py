"""cwsandbox forward."""

import signal
import socket

import pytest

LIMIT = 30

SERVER = """
import socket
s = socket.create_server(("127.0.0.1", 7000))
print("on", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(c.recv(100).upper())
    c.close()
"""


def port_of(process):
    line = process.read_until(b" of the sandbox.\n").decode()
    return int(line.split("127.0.0.1:")[1].split(" ")[0])


def ask(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as c:
        c.sendall(data)
        return c.recv(100)


def test_a_port_is_reached_until_the_interrupt(home, sandbox):
    with home.start("exec", sandbox, "python3", "-c", SERVER) as server:
        server.read_until(b"on\n")
        with home.start("forward", sandbox, "0:7000") as process:
            assert ask(port_of(process), b"hello") == b"HELLO"
            assert process.kill(signal.SIGINT) == 0


def test_a_port_without_listener_is_named_and_the_rest_goes_on(home, sandbox):
    with home.start("forward", sandbox, "0:7001") as process:
        port = port_of(process)
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                ask(port, b"x")
        assert process.kill(signal.SIGINT) == 0
        assert process.popen.stderr.read().decode().count("nothing listens on port 7001 of sandbox") == 2


def test_the_end_of_the_sandbox_is_its_end(home, sandbox):
    with home.start("forward", sandbox, "0:7000") as process:
        port_of(process)
        assert home.run("stop", "-q", "--graceful-shutdown-seconds", "0", sandbox).returncode == 0
        assert process.popen.wait(LIMIT) == 0


def test_the_local_port_is_the_same_when_none_is_named(home, sandbox):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = home.run("forward", sandbox, port)
        assert result.returncode == 1
        assert f"listen on 127.0.0.1:{port}: address already in use" in result.stderr.decode()


@pytest.mark.parametrize("word", ["", "0", "http", "80:", ":80", "65536", "1:2:3", "-1", "80x", "0:0"])
def test_words_that_are_no_ports_are_usage(ordinary_home, word):
    assert ordinary_home.run("forward", "--", "sandbox", word).returncode == 2
