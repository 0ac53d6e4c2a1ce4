"""--data-plane-mode, against a scripted service: what a mode lets through."""

import messages  # noqa: F401  makes the next imports work
import pytest
from scripted_server import ID

COMMANDS = [["exec", "{}", ID, "true"], ["logs", "{}", ID], ["files", "read", "{}", ID, "/x"], ["files", "write", "{}", ID, "/x", "/etc/passwd"]]


def run(home, scripted, words, mode):
    given = [f"--data-plane-mode={mode}" if word == "{}" else word for word in words]
    return home.run(*given, env={"CWSANDBOX_BASE_URL": scripted.url})


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_direct_that_is_not_possible_says_so(ordinary_home, scripted, words):
    result = run(ordinary_home, scripted, words, "Direct")
    assert result.returncode == 1
    assert b"Error: Direct data-plane access is unavailable" in result.stderr
    assert {call.method for call in scripted.calls} == {"GetSandbox"}


@pytest.mark.parametrize("mode", ["auto", "gateway"])
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_the_gateway_is_asked_for_no_connection(ordinary_home, scripted, words, mode):
    assert run(ordinary_home, scripted, words, mode).returncode == 0
    assert len(scripted.calls) > 1 and scripted.of("ConnectSandbox") == []


@pytest.mark.parametrize("words", [*COMMANDS, ["sh", "{}", ID]], ids=lambda words: " ".join(words[:2]))
def test_another_mode_is_a_usage_error(ordinary_home, scripted, words):
    result = run(ordinary_home, scripted, words, "magic")
    assert (result.returncode, scripted.calls) == (2, [])
    assert b"--data-plane-mode" in result.stderr
