"""--data-plane-mode, against a scripted service: what a mode lets through."""

import messages  # noqa: F401  makes the next imports work
import pytest
from direct_peer import Authority, DirectPeer
from scripted_server import ID, Status

COMMANDS = [["exec", "{}", ID, "true"], ["logs", "{}", ID], ["files", "read", "{}", ID, "/x"], ["files", "write", "{}", ID, "/x", "/etc/passwd"]]


def run(home, scripted, words, mode):
    given = [f"--data-plane-mode={mode}" if word == "{}" else word for word in words]
    return home.run(*given, env={"CWSANDBOX_BASE_URL": scripted.url})


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_direct_that_is_not_possible_says_so(ordinary_home, scripted, words):
    scripted.on("ConnectSandbox", Status("UNIMPLEMENTED"))
    result = run(ordinary_home, scripted, words, "Direct")
    assert result.returncode == 1
    assert b"Error: Direct data-plane access is unavailable" in result.stderr
    assert {call.method for call in scripted.calls} == {"GetSandbox", "ConnectSandbox"}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_direct_goes_straight(ordinary_home, scripted, tmp_path, words):
    peer = DirectPeer(Authority(tmp_path))
    scripted.on("ConnectSandbox", peer.grant)
    result = run(ordinary_home, scripted, words, "direct")
    peer.close()
    assert (result.returncode, len(peer.calls)) == (0, 1), result.stderr
    assert {call.method for call in scripted.calls} == {"GetSandbox", "ConnectSandbox"}


@pytest.mark.parametrize("mode, asked", [("auto", 1), ("gateway", 0)])
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_the_gateway_is_asked_for_no_connection(ordinary_home, scripted, words, mode, asked):
    scripted.on("ConnectSandbox", Status("UNIMPLEMENTED"))
    assert run(ordinary_home, scripted, words, mode).returncode == 0
    assert len(scripted.calls) > 1 + asked and len(scripted.of("ConnectSandbox")) == asked


@pytest.mark.parametrize("words", [*COMMANDS, ["sh", "{}", ID]], ids=lambda words: " ".join(words[:2]))
def test_another_mode_is_a_usage_error(ordinary_home, scripted, words):
    result = run(ordinary_home, scripted, words, "magic")
    assert (result.returncode, scripted.calls) == (2, [])
    assert b"--data-plane-mode" in result.stderr
