"""The man pages: complete, and without a warning of man."""

import re
import shutil
import subprocess

import pytest

from conftest import stage

PAGES = [stage() / "share" / "man" / "man1" / "cwsandbox.1", stage() / "share" / "man" / "man8" / "cwsandboxd.8"]
need_man = pytest.mark.skipif(not shutil.which("man") or not shutil.which("groff"), reason="man or groff is not installed")


def rendered(page, home):
    """The page as a reader sees it, in one line; a warning fails the test."""
    result = subprocess.run(["man", "--warnings=all", "-E", "UTF-8", "-l", str(page)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**home.env, "MANWIDTH": "100", "MANROFFSEQ": "", "GROFF_NO_SGR": "1"}, timeout=30)
    assert (result.returncode, result.stderr) == (0, b"")
    return " ".join(re.sub(".\b", "", result.stdout.decode()).split())


@need_man
def test_the_manual_describes_every_verb_with_all_its_options(root_home):
    text = rendered(PAGES[0], root_home)
    for line in root_home.run("--help").stdout.decode().partition("Commands:\n")[2].splitlines():
        match = re.match(r"  ([a-z]+(?: [a-z]+)?)  +(.*)", line)
        if not match:
            continue
        assert f"cwsandbox {match[1]}" in text and match[2] in text
        if match[1] == "serve":  # hands --help on
            continue
        for option in re.findall(r"^  (?:-\w, )?--[a-z-]+", root_home.run(*match[1].split(), "--help").stdout.decode(), re.M):
            assert option.strip() == "-h, --help" or option.strip() in text, option
    assert "__complete" not in text


@need_man
def test_the_services_manual_describes_every_option(root_home):
    text = rendered(PAGES[1], root_home)
    options = re.findall(r"^ +(--[a-z-]+)", root_home.run("serve", "--help").stdout.decode(), re.M)
    assert len(options) > 20
    for option in options:
        assert option in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_and_options_can_be_pasted(page):
    source = page.read_text()
    assert not re.search(r"(?<!\\)-(?!\S*\")", re.sub(r"^\.\\\".*$|^\.TH.*$", "", source, flags=re.M)), "a - that is a hyphen"
