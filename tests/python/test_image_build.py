"""cwsandbox.Image: values, and their steps in sandboxes of the embedded service, which has no network."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from images import image, inspect, of_image, sh, skip_without_idmaps

import cwsandbox
from cwsandbox import Image, SandboxExecutionError, SandboxFailedError

pytestmark = pytest.mark.skipif("CWS_STAGE" not in os.environ, reason="no installed cwsandbox-image")

# A package as pip takes it without any network
WHEEL = """python3 - <<'END'
import zipfile
info = "cwstest-1.0.dist-info/"
with zipfile.ZipFile("/srv/cwstest-1.0-py3-none-any.whl", "w") as z:
    z.writestr("cwstest.py", "answer = 42")
    z.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: cwstest\\nVersion: 1.0\\n")
    z.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    z.writestr(info + "RECORD", "")
END"""


def built(described: Image) -> str:
    try:
        return described.build().result(120)
    except SandboxFailedError as error:
        skip_without_idmaps(error)
        raise


def test_an_image_is_a_value():
    base = Image.from_registry("python:3.12")
    one, two = base.run("a").env(B="2", A="1"), Image.from_registry("python:3.12").run("a").env(A="1", B="2")
    assert one == two and hash(one) == hash(two) and one.reference == two.reference and pickle.loads(pickle.dumps(one)) == one
    assert base.reference == "python:3.12" and Image.host().reference == "host"
    others = [base, base.run("a"), base.run("b").env(A="1", B="2"), Image.host().run("a").env(A="1", B="2"), one.workdir("/a"), base.run("a", "b"),
              base.pip_install("a"), base.apt_install("a"), base.env(A="1").run("a").env(B="2")]
    assert len({other.reference for other in [one, *others]}) == len(others) + 1
    with pytest.raises(AttributeError):
        one.base = "x"
    for wrong in (lambda: Image.from_registry(""), base.run, base.pip_install, base.apt_install, base.env, lambda: base.workdir("a")):
        with pytest.raises(ValueError):
            wrong()
    for wrong in (lambda: Image.from_registry(1), lambda: base.env(A=1)):
        with pytest.raises(TypeError):
            wrong()


def test_steps_are_kept_and_not_run_again(embedded_service):
    random = Image.host().run("cat /proc/sys/kernel/random/uuid > /srv/uuid").env(STEP="one two", PATH="/own:/usr/bin:/bin").workdir("/srv/deep")
    more = random.run("echo $STEP > said", "cp ../uuid again")
    assert built(more) == more.reference
    with of_image(more) as sandbox:
        first = sh(sandbox, "cat /srv/deep/said /srv/uuid /srv/deep/again; echo $STEP; pwd; echo $PATH").splitlines()
    assert first[0] == first[3] == "one two" and first[1] == first[2] and first[4:] == ["/srv/deep", "/own:/usr/bin:/bin"]
    assert len(inspect(more.reference)["layers"]) == 4
    image("rm", more.reference, check=True)
    with pytest.raises(cwsandbox.SandboxFailedError, match="no registry can have it: build it again"):
        cwsandbox.Sandbox.run(container_image=more.reference).wait()
    assert built(more) == more.reference
    with of_image(more) as sandbox:
        assert sh(sandbox, "cat /srv/uuid").splitlines() == [first[1]], "only the last step was to be run again"


def test_one_builds_for_all(embedded_service):
    described = Image.host().run("sleep 0.3; cat /proc/sys/kernel/random/uuid > /srv/once").env(WHO="all")
    program = f"""import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
import images
from cwsandbox import Image
described = Image.host().run("sleep 0.3; cat /proc/sys/kernel/random/uuid > /srv/once").env(WHO="all")
with images.of_image(described) as sandbox: print(images.sh(sandbox, "cat /srv/once"), end="")"""

    def other_process() -> str:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        if "no idmapped mounts here" in done.stderr:
            pytest.skip("the file system of the store has no idmapped mounts here")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def thread() -> str:
        built(described)
        with of_image(described) as sandbox:
            return sh(sandbox, "cat /srv/once")

    with ThreadPoolExecutor(4) as pool:
        answers = [f.result() for f in [pool.submit(f) for f in (thread, other_process, thread, other_process)]]
    assert len(set(answers)) == 1 and len(answers[0]) == 37


def test_a_step_that_fails_is_told_and_leaves_nothing(embedded_service):
    described = Image.host().run("echo begun", "echo to-err >&2; (exit 7)", "echo never").run("echo later")
    with pytest.raises(SandboxExecutionError) as caught:
        built(described)
    error = caught.value
    assert "step `echo begun; echo to-err >&2; (exit 7); echo never` ended with exit code 7: begun\nto-err" in str(error)
    assert error.exec_result.returncode == 7 and error.exec_result.stdout == "begun\nto-err\n" and error.metadata["step"].startswith("echo begun")
    with pytest.raises(SandboxExecutionError, match="exit code 7"):
        cwsandbox.Sandbox.run(container_image=described)
    assert image("inspect", described.reference).returncode == 1
    with pytest.raises(SandboxExecutionError, match="image `host` never has"):
        built(Image.host().apt_install("hello"))


def test_packages_and_functions(embedded_service):
    described = Image.host().run(WHEEL).pip_install("--no-index", "/srv/cwstest-1.0-py3-none-any.whl")
    with cwsandbox.Session() as session:
        @session.function(container_image=described)
        def ask() -> int:
            import cwstest

            return cwstest.answer

        try:
            assert ask.remote().result() == 42
        except SandboxFailedError as error:
            skip_without_idmaps(error)
            raise
