"""cwsandbox doctor: what it finds here, and what it says when something is wrong."""

import json
import os
import re

import pytest


def test_doctor_finds_that_sandboxes_work(home, nothing_left):
    result = home.run("doctor")
    text = result.stdout.decode()
    assert result.returncode == 0, text
    assert text.endswith("\nSandboxes work.\n")
    assert re.search(r"^ok +service +unix://\S+ answers, round trip \d+\.\d+ ms$", text, re.M), text
    assert re.search(r"^ok +sandbox +created and ran a command in \d+\.\d+ ms$", text, re.M), text
    assert re.search(r"^ok +kernel +Linux ", text, re.M)
    assert "\033[" not in text


def test_doctor_prints_json(home, nothing_left):
    result = home.run("doctor", "-o", "json")
    text = result.stdout.decode()
    parsed = json.loads(text)
    assert text == json.dumps(parsed, indent=2) + "\n"  # the very bytes
    assert (result.returncode, list(parsed), parsed["works"]) == (0, ["findings", "works"], True)
    for entry in parsed["findings"]:
        assert list(entry) == ["finding", "subject", "text", "remedy"]
        assert entry["finding"] in ("ok", "missing", "broken", "note")
    lines = [line for line in home.run("doctor").stdout.decode().splitlines() if re.match("ok|missing|broken|note", line)]
    assert [entry["subject"] for entry in parsed["findings"]] == [line[9:29].rstrip() for line in lines]


def test_doctor_prints_what_is_wrong_as_json(home):
    result = home.run("doctor", "-o", "json", env={"CWSANDBOX_SERVICE_PATH": str(home.base)})
    parsed = json.loads(result.stdout)
    assert (result.returncode, parsed["works"]) == (1, False)
    entry = parsed["findings"][0]
    assert (entry["finding"], entry["subject"]) == ("broken", "cwsandboxd")
    assert entry["text"].startswith("not in ") and "CWSANDBOX_SERVICE_PATH" in entry["remedy"]
    result = home.run("doctor", "-o", "json", env={"CWSANDBOX_BASE_URL": "ftp://x"})
    assert (result.returncode, json.loads(result.stdout)["works"]) == (1, False)


def test_doctor_says_who_it_speaks_to(home):
    who = "as root" if home.uid == 0 else "as an ordinary user"
    assert who in home.run("doctor").stdout.decode()


def test_every_missing_line_of_an_ordinary_user_tells_a_reason(ordinary_home):
    text = ordinary_home.run("doctor").stdout.decode()
    for line in text.splitlines():
        if line.startswith("missing"):
            assert len(line.split(None, 2)) == 3, line


def test_doctor_names_a_missing_program(home):
    result = home.run("doctor", env={"CWSANDBOX_SERVICE_PATH": str(home.base)})
    text = result.stdout.decode()
    assert result.returncode == 1
    assert re.search(r"^broken +cwsandboxd +not in ", text, re.M), text
    assert "->" in text


def test_doctor_names_a_directory_that_others_may_enter(home):
    taken = home.base / "taken"
    (taken / "cwsandbox").mkdir(parents=True, exist_ok=True)
    for directory in (taken, taken / "cwsandbox"):
        os.chown(directory, home.uid, home.uid)
    os.chmod(taken / "cwsandbox", 0o777)
    result = home.run("doctor", env={"XDG_RUNTIME_DIR": str(taken)})
    assert result.returncode == 1
    assert re.search(r"^broken +directory ", result.stdout.decode(), re.M), result.stdout


def test_doctor_asks_only_the_service_when_it_is_elsewhere(home):
    result = home.run("doctor", env={"CWSANDBOX_BASE_URL": "http://127.0.0.1:9"})
    text = result.stdout.decode()
    assert result.returncode == 1
    assert re.search(r"^note +kernel +not checked", text, re.M), text
    assert re.search(r"^broken +service ", text, re.M), text


def test_doctor_is_coloured_on_a_terminal_only(home):
    with home.terminal("doctor") as terminal:
        terminal.read_until("\033[32mok")
        assert terminal.wait() == 0


@pytest.mark.parametrize("name, value", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_doctor_is_not_coloured_on_a_terminal_that_says_no(ordinary_home, monkeypatch, name, value):
    monkeypatch.setitem(ordinary_home.env, name, value)
    with ordinary_home.terminal("doctor") as terminal:
        assert "\033" not in terminal.read_until("Sandboxes work.\r\n")
        assert terminal.wait() == 0
