"""read_file, write_file and their streaming forms."""

from __future__ import annotations

import asyncio
import threading

import cwsandbox
import pytest
from cwsandbox import SandboxFileError, SandboxNotRunningError


def test_round_trip(shared, consume):
    for content in (b"", b"x", bytes(range(256)) * 1000):
        assert consume(lambda content=content: shared.write_file("/tmp/rt", content)) is None
        assert consume(lambda: shared.read_file("/tmp/rt")) == content


def test_buffers_of_all_kinds_and_a_copy_is_taken(shared):
    data = bytearray(b"before")
    ref = shared.write_file("/tmp/buf", data)
    data[:] = b"after!"
    ref.result()
    assert shared.read_file("/tmp/buf").result() == b"before"
    shared.write_file("/tmp/buf", memoryview(b"0123456789")[2:5]).result()
    assert shared.read_file("/tmp/buf").result() == b"234"
    with pytest.raises(TypeError):
        shared.write_file("/tmp/buf", "text")
    with pytest.raises(BufferError):
        shared.write_file("/tmp/buf", memoryview(b"0123456789")[::2])


def test_missing_file(shared, consume):
    with pytest.raises(SandboxFileError) as info:
        consume(lambda: shared.read_file("/no/such/file"))
    assert info.value.filepath == "/no/such/file"
    assert info.value.reason == "CWSANDBOX_FILE_NOT_FOUND"
    assert isinstance(info.value.metadata, dict)


def test_directory(shared):
    with pytest.raises(SandboxFileError) as info:
        shared.read_file("/tmp").result()
    assert info.value.reason == "CWSANDBOX_FILE_IS_DIRECTORY"


def test_written_files_are_seen_by_commands_and_back(shared):
    shared.write_file("/tmp/s.sh", b"echo run").result()
    assert shared.exec(["sh", "/tmp/s.sh"]).result().stdout == "run\n"
    shared.exec(["sh", "-c", "printf made > /tmp/made"]).result()
    assert shared.read_file("/tmp/made").result() == b"made"


ODD = b"/tmp/od\xff'd $(id) \\0101\n/n\xe9w\n"


@pytest.mark.parametrize("name", [ODD, ODD.decode("utf-8", "surrogateescape")], ids=["bytes", "str"])
def test_a_name_that_is_not_utf8(shared, name):
    shared.exec(["rm", "-rf", "/tmp/od"]).result()
    for content in (b"", b"x" * 100_000):
        shared.write_file(name, content).result()
        assert shared.read_file(name).result() == content
    shared.write_file_streaming(name, [b"1", b"2"]).result()
    assert b"".join(shared.read_file_streaming(name)) == b"12"
    found = shared.exec(["python3", "-c", "import os; print(os.path.exists(" + repr(ODD) + "))"]).result()
    assert found.stdout == "True\n"
    missing = name.replace(b"\xe9", b"\xea") if isinstance(name, bytes) else name.replace("\udce9", "\udcea")
    for read in (lambda: shared.read_file(missing).result(), lambda: list(shared.read_file_streaming(missing))):
        with pytest.raises(SandboxFileError) as info:
            read()
        assert info.value.reason == "CWSANDBOX_FILE_NOT_FOUND"
        assert info.value.filepath == ODD.replace(b"\xe9", b"\xea").decode("utf-8", "surrogateescape")


def test_a_name_of_bytes_that_is_utf8(shared):
    shared.write_file("/tmp/grün".encode(), b"g").result()
    assert shared.read_file("/tmp/grün").result() == b"g"
    with pytest.raises(SandboxFileError) as info:
        shared.read_file("/tmp/grüner".encode()).result()
    assert info.value.filepath == "/tmp/grüner"


def test_text_that_no_message_can_hold_is_told_by_the_arguments_name(shared):
    for call, name in [
        (lambda: shared.exec(["\udcff"]), "command"),
        (lambda: shared.exec(["true"], cwd="/\udcff"), "cwd"),
        (lambda: shared.exec(["true"], env={"A": "\udcff"}), "env"),
        (lambda: shared.exec(["true"], stdin="\udcff"), "stdin"),
        (lambda: shared.read_file("/\ud800"), "filepath"),
    ]:
        with pytest.raises(ValueError, match=f"^{name} is no text"):
            call()


def test_arguments(shared):
    with pytest.raises(TypeError):
        shared.read_file(3)
    with pytest.raises(TypeError):
        shared.write_file("/x")
    for name in ("/a\0b", b"/a\0b"):
        with pytest.raises(ValueError, match="filepath contains a NUL"):
            shared.read_file(name)
    with pytest.raises(TypeError):
        shared.read_file("/x", timeout=3)


def test_above_the_unary_limit(shared):
    content = b"0123456789abcdef" * (40 * 1024 * 1024 // 16)  # 40 MiB; the service's unary cap is 32
    shared.write_file("/tmp/big", content).result()
    assert shared.exec(["stat", "-c", "%s", "/tmp/big"]).result().stdout == f"{len(content)}\n"
    assert shared.read_file("/tmp/big").result() == content


def test_above_every_limit(shared):
    with pytest.raises(SandboxFileError) as info:
        shared.write_file("/tmp/huge", bytes(256 * 1024 * 1024 + 1)).result()
    assert info.value.reason == "CWSANDBOX_FILE_TOO_LARGE"
    assert info.value.metadata["max_size_bytes"] == str(256 * 1024 * 1024)
    assert info.value.metadata["filepath"] == "/tmp/huge"


# ---- streaming reads


def test_read_streaming(shared):
    content = bytes(range(256)) * 8192
    shared.write_file("/tmp/stream", content).result()
    chunks = list(shared.read_file_streaming("/tmp/stream"))
    assert b"".join(chunks) == content and all(isinstance(chunk, bytes) for chunk in chunks)
    assert list(shared.read_file_streaming("/dev/null")) == []


def test_read_streaming_errors_are_raised_by_iteration(shared):
    reader = shared.read_file_streaming("/no/such/file")
    with pytest.raises(SandboxFileError) as info:
        list(reader)
    assert info.value.reason == "CWSANDBOX_FILE_IO_FAILED" or info.value.reason == "CWSANDBOX_FILE_NOT_FOUND"
    assert list(reader) == []


def test_read_streaming_can_be_closed_early(shared):
    shared.exec(["sh", "-c", "head -c 50000000 /dev/zero > /tmp/zeros"]).result()
    reader = shared.read_file_streaming("/tmp/zeros")
    assert next(reader)
    reader.close()
    assert list(reader) == []
    dropped = shared.read_file_streaming("/tmp/zeros")
    assert next(dropped)
    del dropped


# ---- streaming writes


def test_write_streaming_from_bytes(shared, consume):
    content = bytes(range(256)) * 20000  # more than one slice
    for source in (b"", b"small", content, bytearray(b"ba"), memoryview(b"mv")):
        assert consume(lambda source=source: shared.write_file_streaming("/tmp/ws", source)) is None
        assert shared.read_file("/tmp/ws").result() == bytes(source)


def test_write_streaming_from_more_than_the_queue_holds(shared):
    content = b"z" * (20 * 1024 * 1024)
    shared.write_file_streaming("/tmp/ws2", content).result()
    assert shared.exec(["sh", "-c", "wc -c < /tmp/ws2"]).result().stdout.strip() == str(len(content))


def test_write_streaming_from_an_iterable(shared):
    shared.write_file_streaming("/tmp/wi", (b"%d\n" % i for i in range(1000))).result()
    assert shared.read_file("/tmp/wi").result() == b"".join(b"%d\n" % i for i in range(1000))
    shared.write_file_streaming("/tmp/wi", [b"a", b"", bytearray(b"b"), memoryview(b"c")]).result()
    assert shared.read_file("/tmp/wi").result() == b"abc"


def test_a_source_that_blocks_blocks_nobody_else(shared):
    go = threading.Event()

    def source():
        yield b"first "
        assert go.wait(20)
        yield b"second"

    ref = shared.write_file_streaming("/tmp/wb", source())
    assert shared.exec(["echo", "meanwhile"]).result().stdout == "meanwhile\n"
    go.set()
    ref.result()
    assert shared.read_file("/tmp/wb").result() == b"first second"


def test_write_streaming_from_an_async_iterable(shared):
    async def source():
        for i in range(100):
            await asyncio.sleep(0)
            yield b"%d," % i

    async def body():
        await shared.write_file_streaming("/tmp/wa", source())

    asyncio.run(body())
    assert shared.read_file("/tmp/wa").result() == b"".join(b"%d," % i for i in range(100))


def test_an_async_source_may_call_what_blocks(shared):
    """No code of ours ever runs on the library's thread, so nothing has to be refused there (contract 0.3)."""

    async def source():
        yield shared.wait().exec(["echo", "from a command"]).result().stdout_bytes
        yield str(shared.get_status()).encode()
        yield "".join(shared.exec(["echo", "", "streamed"]).stdout).encode()
        process = shared.exec(["true"])
        assert cwsandbox.wait([shared, process]) == ([shared, process], [])

    shared.write_file_streaming("/tmp/we", source()).result(20)
    assert shared.read_file("/tmp/we").result() == b"from a command\nrunning streamed\n"


def test_errors_of_the_source(shared, consume):
    def broken():
        yield b"part"
        raise OSError("disk on fire")

    with pytest.raises(SandboxFileError, match="partial") as info:
        consume(lambda: shared.write_file_streaming("/tmp/we", broken()))
    assert isinstance(info.value.__cause__, OSError) and info.value.filepath == "/tmp/we"
    for source in ([1, 2], "text", iter(["x"])):
        with pytest.raises(TypeError):
            consume(lambda source=source: shared.write_file_streaming("/tmp/we", source))
    with pytest.raises(TypeError):
        consume(lambda: shared.write_file_streaming("/tmp/we", 3))


def test_write_streaming_to_a_place_that_cannot_be_written(shared):
    with pytest.raises(SandboxFileError):
        shared.write_file_streaming("/proc/nope/x", b"data").result()


def test_file_operations_of_a_stopped_sandbox():
    from cwsandbox import Sandbox

    sandbox = Sandbox()
    sandbox.stop().result()
    for call in (
        lambda: sandbox.read_file("/x").result(),
        lambda: sandbox.write_file("/x", b"").result(),
        lambda: list(sandbox.read_file_streaming("/x")),
        lambda: sandbox.write_file_streaming("/x", b"").result(),
    ):
        with pytest.raises(SandboxNotRunningError):
            call()
