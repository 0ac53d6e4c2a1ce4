"""docs/configuration.md and the example file tell what the program does."""

import re
import subprocess

from conftest import REPO
from service import TIMEOUT, programs


def help_flags():
    text = subprocess.run([str(programs()[0]), "--help"], capture_output=True, text=True, check=True,
                          timeout=TIMEOUT).stdout
    return dict(re.findall(r"^  --([a-z-]+).*\n      (.*)$", text, re.M)), text


def test_the_page_has_one_row_for_every_option_and_no_other():
    flags, text = help_flags()
    page = (REPO / "docs/configuration.md").read_text()
    rows = re.findall(r"^\| `--([a-z-]+)[^|]*\| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", page, re.M)
    assert [name for name, *_ in rows] == list(flags)
    for name, env, default, _ in rows:
        block = text.split(f"  --{name}")[1].split("\n  --")[0]
        shown = re.search(r"default: (.*)", block)
        assert default.strip("` ") == (shown.group(1) if shown else ""), name
        variable = re.search(r"environment: (.*)", block)
        assert env.strip("` ") == (variable.group(1) if variable else ""), name


def test_every_line_of_the_example_file_is_accepted(tmp_path):
    lines = (REPO / "dist/cwsandboxd.conf.example").read_text().splitlines()
    settings = [line.lstrip("#") for line in lines if re.match(r"#?[a-z-]+ = ", line)]
    assert len(settings) > 10
    keys = tmp_path / "keys"
    keys.write_text("a:interop-key-9\n")
    keys.chmod(0o600)
    # Certificates of one's own are the one thing the example cannot bring along.
    settings = [s for s in settings if not s.startswith("tls-") and "https" not in s]
    settings = [f"api-keys = {keys}" if s.startswith("api-keys") else s for s in settings]
    config = tmp_path / "c"
    config.write_text("\n".join(settings))
    run = subprocess.run([str(programs()[0]), "--config", str(config), "--check-config"], capture_output=True, text=True,
                         timeout=TIMEOUT)
    assert run.returncode == 0, run.stderr
