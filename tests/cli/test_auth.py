"""--auth and CWSANDBOX_AUTH, as a scripted service sees them."""

import messages  # noqa: F401  makes the next imports work
import pytest
from scripted_server import ID, sandbox

KEY = "0123456789abcdef0123456789abcdef01234567"
OURS = ("authorization", "x-wandb", "x-entity-id", "x-project-name")


@pytest.fixture
def sent(ordinary_home, scripted):
    """Runs `ls`: what the program said, and the credentials that came."""

    def run(*words, **env):
        result = ordinary_home.run(*words, "ls", env={"CWSANDBOX_BASE_URL": scripted.url, "NETRC": "/nonexistent", **env})
        metadata = [{k: v for k, v in call.metadata.items() if k.startswith(OURS)} for call in scripted.calls]
        return result, metadata

    return run


def test_the_key_is_sent_when_there_is_one(sent):
    assert sent(CWSANDBOX_API_KEY="k")[1] == [{"authorization": "Bearer k"}]


@pytest.mark.parametrize("words, env", [(["--auth", "coreweave_api_key"], {}), (["--auth=CoreWeave_API_Key"], {}),
                                        ([], {"CWSANDBOX_AUTH": "coreweave_api_key"}),
                                        (["--auth", "coreweave_api_key"], {"CWSANDBOX_AUTH": "wandb"})])
def test_the_key_asked_for_by_name_must_be_there(sent, words, env):
    result, metadata = sent(*words, **env)
    assert (result.returncode, metadata) == (1, [])
    assert b"Error: CWSANDBOX_API_KEY" in result.stderr
    assert sent(*words, CWSANDBOX_API_KEY="k", **env)[1] == [{"authorization": "Bearer k"}]


def test_an_empty_variable_is_as_none_and_a_wrong_one_a_usage_error(sent):
    assert sent(CWSANDBOX_AUTH="")[0].returncode == 0
    result, metadata = sent(CWSANDBOX_AUTH="magic")
    assert (result.returncode, len(metadata)) == (2, 1)
    assert b"'CWSANDBOX_AUTH': 'magic'" in result.stderr


def test_the_wandb_login_has_headers_of_its_own(sent):
    names = {"WANDB_ENTITY": "team", "WANDB_PROJECT": "work", "WANDB_BASE_URL": "https://me@wandb.example.com:8443/api"}
    _, metadata = sent("--auth", "wandb", WANDB_API_KEY=KEY, CWSANDBOX_API_KEY="k")
    assert metadata == [{"x-wandb-api-key": KEY}]
    _, metadata = sent("--auth", "wandb", WANDB_API_KEY=KEY, **names)
    assert metadata[1] == {"x-wandb-api-key": KEY, "x-entity-id": "team", "x-project-name": "work",
                           "x-wandb-host": "wandb.example.com:8443"}


def test_the_wandb_key_of_the_netrc_file(sent, ordinary_home):
    path = ordinary_home.base / "netrc"
    path.write_text(f"machine other login user password x\nmachine api.wandb.ai\n  login user\n  password local-{KEY}\n")
    path.chmod(0o644)
    assert sent("--auth", "wandb", NETRC=str(path))[1] == [{"x-wandb-api-key": f"local-{KEY}"}]


@pytest.mark.parametrize("key, words", [("", b"wandb login"), ("a.token.of-somebody" * 4, b"not an API key"), ("short", b"not an API key")])
def test_without_an_api_key_of_wandb_nothing_is_sent(sent, key, words):
    result, metadata = sent("--auth", "wandb", WANDB_API_KEY=key)
    assert (result.returncode, metadata) == (1, [])
    assert words in result.stderr and (not key or key.encode() not in result.stderr)


def test_the_help_names_what_it_reads(ordinary_home):
    text = ordinary_home.run("--help").stdout.decode()
    assert all(name in text for name in ("--auth", "CWSANDBOX_AUTH", "WANDB_ENTITY", "WANDB_PROJECT"))


def test_ls_asks_for_no_more_than_it_shows(ordinary_home, scripted):
    scripted.on("ListSandboxes", listing)
    result = ordinary_home.run("ls", "--limit", "3", "-o", "json", env={"CWSANDBOX_BASE_URL": scripted.url})
    assert result.stdout.decode().count(ID) == 3
    assert [call.request.page_size for call in scripted.of("ListSandboxes")] == [3, 1]


def listing(call):
    """Two on a page, whatever was asked for, for ever."""
    from coreweave.sandbox.v1 import sandbox_pb2 as pb

    return pb.ListSandboxesResponse(sandboxes=[sandbox(), sandbox()], next_page_token=call.request.page_token + "x")
