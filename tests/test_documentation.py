"""The programs in the documentation run as they stand."""

import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.servers import free_port, running

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def runs_for_ever(code):
    return "serve_forever(" in code or "fastsock.serve(" in code


def programs(servers=False):
    for page in sorted(DOCS.glob("*.md")):
        for number, code in enumerate(
                re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            if ">>>" not in code and "import fastsock as socket\n" != code:
                if runs_for_ever(code) != servers:
                    continue
                yield pytest.param(code, id=f"{page.name}-{number}")


def test_there_are_programs():
    assert list(programs())


@pytest.mark.parametrize("code", list(programs()))
def test_program_of_the_documentation(python, code):
    python("-W", "error", code=code)


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("code", list(programs(servers=True)))
def test_server_of_the_documentation(tmp_path, code):
    """Its ports are replaced by free ones; it answers, and ends on SIGINT."""
    ports = {number: free_port() for number in sorted(set(re.findall(r"\b80\d\d\b", code)))}
    for number, port in ports.items():
        code = code.replace(number, str(port))
    listen = int(re.search(r"127\.0\.0\.1\", (\d+)", code)[1])
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0 if "Relay" not in code else ports["8000"])) as behind:
        def echo():
            # As often as somebody connects: the first is who looks whether it listens.
            try:
                while True:
                    connection, _ = behind.accept()
                    with connection:
                        connection.sendall(connection.recv(100))
            except OSError:
                pass
        thread = threading.Thread(target=echo)
        thread.start()
        try:
            with running([sys.executable, "-P", "-W", "error", "-c", code],
                         lambda: can_connect(listen), log, end_by=signal.SIGINT):
                with socket.create_connection(("127.0.0.1", listen), timeout=20) as client:
                    client.sendall(b"hello\n")
                    with client.makefile("rb") as lines:  # some greet first
                        assert any(line.lower() == b"hello\n" for line in lines)
        finally:
            behind.shutdown(socket.SHUT_RDWR)  # wakes accept()
            thread.join()
    shown = log.read_text()
    assert "Traceback" not in shown or shown.rstrip().endswith("KeyboardInterrupt")


def test_the_page_on_reliability_says_what_the_figures_say():
    subprocess.run([sys.executable, DOCS.parent / "tools" / "write_reliability.py", "--check"],
                   check=True)
