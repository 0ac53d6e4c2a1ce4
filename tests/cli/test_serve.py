"""cwsandbox serve: becomes the service."""

import os
import select
import signal


def test_serve_hands_every_word_to_the_service(home):
    result = home.run("serve", "--help")
    assert result.returncode == 0
    assert b"--listen" in result.stdout + result.stderr
    assert home.run("serve", "--no-such-flag").returncode != 0


def test_a_missing_service_is_an_error_that_says_where_it_looked(home):
    result = home.run("serve", env={"CWSANDBOX_SERVICE_PATH": "/nonexistent"})
    assert result.returncode == 1
    assert b"/nonexistent" in result.stderr


def test_a_service_serves_and_ends(home):
    url = f"unix://{home.runtime}/own.sock"
    read_end, write_end = os.pipe()
    words = ["serve", "--listen", url, "--data-dir", str(home.base / "own"), "--ready-fd", str(write_end)]
    with home.start(*words, pass_fds=[write_end]) as process:
        os.close(write_end)
        assert select.select([read_end], [], [], 30)[0]
        assert os.read(read_end, 100) == b"ready\n"
        os.close(read_end)
        result = home.run("run", "--", "echo", "served", env={"CWSANDBOX_BASE_URL": url})
        assert (result.returncode, result.stdout) == (0, b"served\n"), result.stderr
        assert process.kill(signal.SIGTERM) == 0
