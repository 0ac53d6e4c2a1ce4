"""Programs of the machine behave inside, in image `host`, as they do outside: a missing file of /etc or a wrong variable shows."""

import json
import shutil
import subprocess

from cwsandbox import Sandbox

PROGRAMS = """
su runuser man locale openssl curl wget git perl python3 java mvn gcc g++ clang make cmake meson ninja cargo rustc go node npm ruby php
lua tar bsdtar gzip xz zstd zip bzip2 rsync ssh-keygen gpg ps free vmstat id groups getent ip ss strace gdb valgrind vim nano less
gawk sed grep find xargs file tree jq sqlite3 psql busctl podman skopeo umoci crun bwrap apt dpkg dpkg-deb pip3 pytest fc-list convert
ffmpeg dot gnuplot R bc m4 autoconf pkg-config flex bison objdump readelf ld ar strip patch diff sort head date timeout nice stdbuf
env which hostname uname lscpu lsblk mount df du stat touch base64 sha256sum iconv tmux script setpriv unshare prlimit taskset
update-alternatives ldd groff zsh fish dash bash busybox perldoc pod2man tclsh
""".split()

# Prints one JSON object: of each path on its input the exit code of `PATH --version`, or what kept it from starting.
VERSIONS = """
import json, subprocess, sys
environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
codes = {}
for path in json.load(sys.stdin):
    try:
        codes[path] = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     timeout=120, env=environment).returncode
    except OSError as error:
        codes[path] = str(error)
print(json.dumps(codes))
"""


def test_programs_start_inside_as_outside() -> None:
    found = [shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") for name in PROGRAMS]
    paths = json.dumps([path for path in found if path])
    outside = subprocess.run(["/usr/bin/python3", "-c", VERSIONS], input=paths, stdout=subprocess.PIPE, text=True, check=True).stdout
    with Sandbox.run() as sandbox:
        inside = sandbox.exec(["/usr/bin/python3", "-c", VERSIONS], stdin=paths, check=True).result().stdout
    assert len(json.loads(outside)) > 40
    assert json.loads(inside) == json.loads(outside)
