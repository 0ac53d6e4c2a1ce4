"""cwsandbox cp, and files ls, stat, mkdir, rm, mv."""

import json
import os

import pytest


@pytest.fixture
def project(home):
    top = home.base / f"project-{os.urandom(4).hex()}"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "f").write_bytes(b"text")
    (top / "run").write_bytes(b"#!/bin/sh\necho ran\n")
    (top / "run").chmod(0o755)
    (top / "link").symlink_to("sub/f")
    for directory, _, files in os.walk(top):
        for path in (directory, *(os.path.join(directory, name) for name in files)):
            os.chown(path, home.uid, home.uid, follow_symlinks=False)
    return top


def fine(result):
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


def test_a_directory_goes_in_and_comes_back(home, sandbox, project):
    assert fine(home.run("cp", "-r", str(project), f"{sandbox}:/tmp/new")) == ""
    assert fine(home.run("exec", sandbox, "sh", "-c", "/tmp/new/run; cat /tmp/new/link")) == "ran\ntext"
    back = home.base / f"back-{project.name}"
    fine(home.run("cp", "-r", f"{sandbox}:/tmp/new", str(back)))
    assert (back / "link").read_bytes() == b"text" and os.readlink(back / "link") == "sub/f"
    assert (back / "run").stat().st_mode & 0o777 == 0o755


def test_what_is_there_gets_it_inside(home, sandbox, project):
    fine(home.run("files", "mkdir", sandbox, "/tmp/inside"))
    fine(home.run("cp", "-r", str(project), f"{sandbox}:/tmp/inside"))
    fine(home.run("cp", "-r", f"{project}/.", f"{sandbox}:/tmp/inside"))
    fine(home.run("cp", str(project / "run"), f"{sandbox}:/tmp/inside/sub"))
    assert fine(home.run("exec", sandbox, "sh", "-c", "cd /tmp/inside; ls sub")) == "f\nrun\n"
    assert fine(home.run("exec", sandbox, "ls", f"/tmp/inside/{project.name}")) == "link\nrun\nsub\n"
    fine(home.run("cp", f"{sandbox}:/tmp/inside/sub/f", str(project)))
    assert (project / "f").read_bytes() == b"text"


def test_errors_say_what_is_wrong(home, sandbox, project):
    for words, code, text in (
        ((str(project), f"{sandbox}:/tmp/x"), 2, "is a directory: -r copies it"),
        (("/a", "/b"), 2, "One of the two must be SANDBOX_ID:PATH"),
        ((str(project / "run"), f"{sandbox}:relative"), 2, "must be an absolute path"),
        (("/no/such", f"{sandbox}:/tmp/x"), 1, "/no/such"),
        (("-r", f"{sandbox}:/no/such", str(project / "new")), 1, "/no/such"),
        ((f"{sandbox}:/etc", str(project / "new")), 1, "/etc"),
    ):
        result = home.run("cp", *words)
        assert (result.returncode, text in result.stderr.decode()) == (code, True), (words, result.stderr)
    assert not (project / "new").exists()


def test_names_are_listed_told_changed(home, sandbox):
    fine(home.run("files", "mkdir", sandbox, "/tmp/names/d"))
    fine(home.run("exec", sandbox, "sh", "-c", "cd /tmp/names; printf 123 >f; chmod 4755 f; ln -s f l; touch \"$(printf 'n\\033x')\""))
    lines = fine(home.run("files", "ls", sandbox, "/tmp/names")).splitlines()
    assert [line.split()[0] for line in lines] == ["drwxr-xr-x", "-rwsr-xr-x", "lrwxrwxrwx", "-rw-r--r--"]
    assert lines[2].endswith("  l -> f") and lines[3].endswith("  n\\x1bx")
    info = json.loads(fine(home.run("files", "stat", sandbox, "/tmp/names/f", "-o", "json")))
    assert (info["name"], info["kind"], info["mode"], info["size"], info["target"]) == ("/tmp/names/f", "file", "4755", 3, None)
    assert [i["name"] for i in json.loads(fine(home.run("files", "ls", sandbox, "/tmp/names", "-o", "json")))] == ["d", "f", "l", "n\x1bx"]
    fine(home.run("files", "mv", sandbox, "/tmp/names/f", "/tmp/names/d/g"))
    assert home.run("files", "rm", sandbox, "/tmp/names/d").returncode == 1
    fine(home.run("files", "rm", "-r", sandbox, "/tmp/names"))
    result = home.run("files", "stat", sandbox, "/tmp/names")
    assert (result.returncode, "No such file" in result.stderr.decode()) == (1, True)


def test_a_user_owns_what_he_writes(root_home):
    sandbox = fine(root_home.run("run", "--keep")).strip()
    local = root_home.base / "mine"
    local.write_bytes(b"mine")
    fine(root_home.run("exec", sandbox, "sh", "-c", "mkdir -m 777 /tmp/all"))
    fine(root_home.run("cp", "-u", "1234", str(local), f"{sandbox}:/tmp/all"))
    assert fine(root_home.run("exec", sandbox, "stat", "-c", "%u", "/tmp/all/mine")) == "1234\n"
    result = root_home.run("cp", "-u", "1234", str(local), f"{sandbox}:/root/mine")
    assert (result.returncode, "ermission denied" in result.stderr.decode()) == (1, True)
