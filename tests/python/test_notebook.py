"""The document's notebook cells, in a real IPython kernel, driven as a notebook drives it."""

from __future__ import annotations

import os
import queue
import re
import sys

import pytest
from cwsandbox import Sandbox
from test_seed import by

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

# What a slow machine may take for one cell.
CELL_SECONDS = 60


class Notebook:
    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.manager, self.client = jupyter_client.manager.start_new_kernel(kernel_name="python3", env=environment)

    def cell(self, code: str) -> str:
        """Run a cell; its printed output. An exception in it fails the test."""
        message_id = self.client.execute(code)
        text = ""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=CELL_SECONDS)
            except queue.Empty:
                pytest.fail(f"the cell did not end: {code}")
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "error":
                pytest.fail("\n".join(content["traceback"]))
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return text

    def shown(self, code: str) -> dict[str, str]:
        """Run a cell; its last value as the notebook shows it, by kind."""
        message_id = self.client.execute(code)
        while True:
            message = self.client.get_iopub_msg(timeout=CELL_SECONDS)
            if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == "execute_result":
                return message["content"]["data"]

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture(scope="module")
def notebook(embedded_service):
    notebook = Notebook()
    yield notebook
    notebook.close()


def test_sync_cells_of_the_document(notebook):
    cells = re.split(r"(?m)^(?=# Cell \d)", by("Jupyter notebooks", None, 0).code)
    cells = [cell for cell in cells if cell.strip()]
    assert len(cells) == 3
    assert [notebook.cell(cell) for cell in cells] == ["", "2\n\n", ""]


def test_async_cell_of_the_document(notebook):
    with Sandbox.run(tags=["notebook"]) as sandbox:
        notebook.cell("from cwsandbox import Sandbox")
        notebook.cell(by("Jupyter notebooks", None, 1).code)
        assert notebook.cell("print([s.sandbox_id for s in sandboxes])") == f"{[sandbox.sandbox_id]}\n"


def test_a_loop_is_running_while_result_blocks(notebook):
    """What needed nest_asyncio elsewhere: blocking calls on the very thread whose loop is running."""
    assert notebook.cell("import asyncio; print(asyncio.get_running_loop().is_running())") == "True\n"
    output = notebook.cell(
        "with Sandbox.run() as sb:\n"
        "    print(sb.exec(['echo', 'sync']).result().stdout, end='')\n"
        "    print((await sb.exec(['echo', 'async'])).stdout, end='')\n"
        "    async for chunk in sb.exec(['echo', 'stream']).stdout:\n"
        "        print(chunk, end='')\n"
    )
    assert output == "sync\nasync\nstream\n"


def test_a_result_at_the_end_of_a_cell_is_its_output(notebook):
    notebook.cell("from cwsandbox import Sandbox")
    notebook.cell("sb = Sandbox.run()")
    html = notebook.shown("sb.exec(['sh', '-c', 'echo \"<out>\"; echo err >&2; exit 3']).result()")["text/html"]
    assert html.count("&lt;out&gt;") == html.count("err") == 1 and "exit code 3" in html
    shown = notebook.shown("sb")
    assert "running" in shown["text/html"] and shown["text/plain"].startswith("<Sandbox id=")
    notebook.cell("sb.stop().result()")


def test_interrupting_a_cell(notebook):
    notebook.cell("from cwsandbox import Sandbox, Session")
    notebook.cell("session = Session()\nsb = session.sandbox().wait()\nprocess = sb.exec(['cat'], stdin=True)")
    message_id = notebook.client.execute(
        "try:\n    print('blocking', flush=True)\n    process.result()\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    text = ""
    while "interrupted" not in text:
        message = notebook.client.get_iopub_msg(timeout=CELL_SECONDS)
        if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == "stream":
            text += message["content"]["text"]
            if text == "blocking\n":
                notebook.interrupt()
    assert notebook.cell("print(process.poll())") == "None\n"
    assert notebook.cell("print(session)") == "<Session sandboxes=1 status=open>\n"
    assert notebook.cell("process.stdin.close()\nprint(process.result().returncode)\nsession.close().result()") == "0\n"
