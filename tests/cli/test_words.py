"""What is answered to words: help, version, mistakes. No service is involved, and none is started."""

import pytest

VERBS = ["run", "exec", "sh", "ls", "get", "logs", "files read", "files write", "snapshots create",
         "snapshots get", "snapshots list", "snapshots delete", "image pull", "image import", "image export", "image commit", "image ls",
         "image inspect", "image rm", "image prune", "stop", "delete", "doctor",
         "completion", "version", "help"]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_describes_itself(home, verb):
    result = home.run(*verb.split(), "--help")
    assert result.returncode == 0
    assert result.stdout.decode().startswith(f"Usage: cwsandbox {verb}")
    assert home.run("help", *verb.split()).stdout == result.stdout
    assert verb in home.run("--help").stdout.decode()


def test_the_version_is_printed_as_the_published_client_does(home):
    result = home.run("--version")
    assert result.returncode == 0
    assert result.stdout.decode().startswith("cwsandbox, version 1.22.0+self.")
    assert home.run("version").stdout == result.stdout


def test_no_words_show_help_and_are_a_mistake(home):
    result = home.run()
    assert result.returncode == 2
    assert "CWSandbox CLI" in result.stderr.decode()


# (words, what the message must name)
MISTAKES = [
    (["lst"], "No such command 'lst'"),
    (["--bogus"], "No such option '--bogus'"),
    (["--auth"], "'--auth'"),
    (["--auth", "magic", "ls"], "'magic'"),
    (["--auth=", "ls"], "'coreweave_api_key'"),
    (["ls", "--auth", "wandb"], "--auth"),
    (["ls", "--limit", "-1"], "'-1'"),
    (["files"], "files read"),
    (["files", "list"], "No such command 'list'"),
    (["snapshots"], "snapshots create"),
    (["snapshots", "make"], "No such command 'make'"),
    (["snapshots", "create"], "SANDBOX_ID"),
    (["snapshots", "create", "id", "--wait=yes"], "--wait"),
    (["snapshots", "get"], "SNAPSHOT_ID"),
    (["snapshots", "list", "--status", "unspecified"], "'unspecified'"),
    (["snapshots", "list", "id"], "id"),
    (["snapshots", "delete", "a", "b"], "b"),
    (["help", "lst"], "No such command 'lst'"),
    (["run"], "Missing command"),
    (["run", "ls"], "'ls' is the image"),
    (["run", "", "--", "true"], "'IMAGE'"),
    (["run", "python:3.11", "echo"], "'echo'"),
    (["run", "--bogus", "--", "true"], "--bogus"),
    (["run", "--timeout", "0", "--", "true"], "'0'"),
    (["run", "--timeout", "soon", "--", "true"], "'soon'"),
    (["run", "--env", "=x", "--", "true"], "'=x'"),
    (["run", "--env", "CWS_NOT_SET", "--", "true"], "'CWS_NOT_SET' is not set"),
    (["run", "--file", "nowhere", "--", "true"], "'nowhere'"),
    (["run", "--file", "/nonexistent:/x", "--", "true"], "'/nonexistent'"),
    (["run", "--file", "/tmp:/x", "--", "true"], "'/tmp'"),
    (["run", "--workdir", "tmp", "--", "true"], "'tmp'"),
    (["run", "-d"], "Missing command"),
    (["run", "-d", "-i", "--", "true"], "'--interactive'"),
    (["exec"], "SANDBOX_ID"),
    (["exec", "id"], "COMMAND"),
    (["exec", "--timeout", "-1", "id", "true"], "'-1'"),
    (["exec", "--cwd", "tmp", "id", "true"], "'tmp'"),
    (["exec", "--nonsense", "id", "true"], "--nonsense"),
    (["sh"], "SANDBOX_ID"),
    (["sh", "id", "extra"], "extra"),
    (["sh", "id", "--cmd", ""], "--cmd"),
    (["sh", "id", "--cmd", "'open"], "'open"),
    (["ls", "extra"], "extra"),
    (["ls", "--status", "asleep"], "'asleep'"),
    (["ls", "--status", "unspecified"], "'unspecified'"),
    (["ls", "-o", "xml"], "'xml'"),
    (["ls", "--tag"], "'--tag'"),
    (["get"], "SANDBOX_ID"),
    (["get", "id", "-o", "yaml"], "'yaml'"),
    (["logs"], "SANDBOX_ID"),
    (["logs", "id", "--tail", "-1"], "'-1'"),
    (["logs", "id", "--tail", "many"], "'many'"),
    (["logs", "id", "--since", "yesterday"], "'yesterday'"),
    (["logs", "id", "--since", "2023-02-30"], "'2023-02-30'"),
    (["files", "read", "id"], "REMOTE"),
    (["files", "read", "id", "/x", "/y"], "/y"),
    (["files", "write", "id", "/x"], "LOCAL"),
    (["files", "write", "id", "/x", "/nonexistent"], "'/nonexistent' does not exist"),
    (["files", "write", "id", "/x", "/tmp"], "'/tmp' is a directory"),
    (["files", "write", "id", "/x", "/dev/null"], "'/dev/null' is not a regular file"),
    (["stop"], "SANDBOX_ID"),
    (["stop", "id", "--graceful-shutdown-seconds", "-1"], "'-1'"),
    (["stop", "id", "--no-wait-for-snapshot"], "--no-wait-for-snapshot"),
    (["delete"], "SANDBOX_ID"),
    (["delete", "id", "--quiet=yes"], "--quiet"),
    (["doctor", "--fix"], "--fix"),
    (["version", "extra"], "extra"),
]


@pytest.mark.parametrize("words,named", MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_exits_with_2_and_names_the_word(ordinary_home, words, named):
    result = ordinary_home.run(*words)
    assert result.returncode == 2, result.stderr
    assert result.stdout == b""
    assert named in result.stderr.decode()


@pytest.mark.parametrize("verb", [["get", "ID"], ["exec", "ID", "true"], ["logs", "ID"], ["stop", "ID"], ["delete", "ID"],
                                  ["files", "read", "ID", "/x"], ["files", "write", "ID", "/x", __file__]],
                         ids=lambda words: " ".join(words[:2]))
def test_an_unknown_sandbox_is_an_error_that_names_it(home, verb):
    result = home.run(*[word.replace("ID", "sb-none") for word in verb])
    assert result.returncode == 1
    message = result.stderr.decode()
    assert message.startswith("Error: ")
    assert "sb-none" in message and "not found" in message


def test_a_full_disk_behind_stdout_is_an_error(home):
    with open("/dev/full", "w") as full:
        result = home.run("--help", stdout=full)
    assert result.returncode == 1
    assert "No space left" in result.stderr.decode()


def test_a_closed_stdout_does_not_crash(home):
    result = home.run("ls", "-o", "json", stdout=None, preexec_fn=lambda: __import__("os").close(1))
    assert result.returncode == 0


def test_an_error_cannot_command_the_terminal(ordinary_home):
    for words in (["get", "sb-\033[31mred\u009b\r"], ["ls", "--output", "\033[31m"], ["\033[31m"]):
        result = ordinary_home.run(*words)
        assert result.returncode != 0
        assert b"\\x1b[31m" in result.stderr and not set(b"\x1b\x9b\r") & set(result.stderr), result.stderr


def test_an_error_is_said_once(ordinary_home):
    sandbox_id = ordinary_home.run("run", "--keep").stdout.decode().strip()
    result = ordinary_home.run("exec", sandbox_id, "")
    assert (result.returncode, result.stderr) == (1, b"Error: Execute command: command: must not be empty\n")
    assert ordinary_home.run("delete", sandbox_id).returncode == 0
