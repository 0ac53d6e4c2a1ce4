"""Files that should never be in memory at once: streamed in, checked inside, streamed out."""

import contextlib
import hashlib

from cwsandbox import Sandbox

BLOCKS, BLOCK = 400, b"0123456789abcdef" * 65536  # 400 MiB


def source():
    for _ in range(BLOCKS):
        yield BLOCK


def digest(chunks) -> str:
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()


with Sandbox.run() as sandbox:
    sandbox.write_file_streaming("/tmp/big", source()).result()
    inside = sandbox.exec(["sha256sum", "/tmp/big"], check=True).result().stdout.split()[0]
    with contextlib.closing(sandbox.read_file_streaming("/tmp/big")) as reader:
        outside = digest(reader)
    print("same content:", inside == outside == digest(source()))
