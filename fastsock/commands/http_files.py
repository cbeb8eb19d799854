"""Files over HTTP/1.1 as a protocol of Server: keep-alive, pipelining, sendfile.

Job: the worked example behind `python -m fastsock serve http`. GET and HEAD; else 400,
404, 405 or 431. A folder is its index.html, and 404 without one. Nothing outside of the
folder is served, also not through ".." or symbolic links. A request with a body is
answered and its connection then closed.
"""

from __future__ import annotations

import contextlib
import email.utils
import http
import mimetypes
import os
import re
import sys
import time
import urllib.parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable
    from io import FileIO

    from fastsock._protocol import ProtocolTransport

LONGEST_HEAD = 16 * 1024
SMALL_FILE = 16 * 1024      # sent with its head, in one piece
REQUEST_LINE = re.compile(r"(\S+) (?:http://[^/\s]*)?(/\S*) HTTP/1\.([01])", re.ASCII)
INDEX = "index.html"
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # in English everywhere
# What would end a line of the log, or its quotes, or be taken by a terminal.
UNPRINTABLE = re.compile(r"[^ !#-\[\]-~]")
HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Refused(Exception):
    """Ends a request by an answer without a file."""

    def __init__(self, status: int, keep_alive: bool = True) -> None:
        self.status = status
        self.keep_alive = keep_alive


class Redirected(Exception):
    """Ends a request by the address of a folder, with its slash: relative links need it."""

    def __init__(self, location: str, keep_alive: bool) -> None:
        self.location = location
        self.keep_alive = keep_alive


class FileProtocol:
    """One connection: an asyncio.Protocol whose transport has send_file()."""

    transport: ProtocolTransport

    def __init__(self, folder: pathlib.Path, log: Callable[[str], None] | None = None) -> None:
        self.folder = folder
        self.log = log                      # called with a line a request, in Common Log Format
        self.request = "-"                  # the first line of the one that is answered
        self.received = b""
        self.file: FileIO | None = None     # the one that is being sent
        self.is_paused = False

    def connection_made(self, transport: ProtocolTransport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.close_file()

    def close_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.answer_all()

    def eof_received(self) -> None:
        """Have the connection closed: the end is not read while an answer is on its way."""

    def pause_writing(self) -> None:
        self.is_paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_paused = False
        self.close_file()
        self.transport.resume_reading()
        self.answer_all()

    def answer_all(self) -> None:
        """Answer what has arrived, in order, until an answer does not fit."""
        while not (self.is_paused or self.transport.is_closing()):
            head, end, rest = self.received.partition(b"\r\n\r\n")
            if not end:
                if len(self.received) > LONGEST_HEAD:
                    self.request = "-"
                    self.refuse(431, keep_alive=False)
                return
            self.received = rest
            text = head.decode("latin-1")
            self.request = text.partition("\r\n")[0]
            try:
                self.answer(text)
            except Redirected as redirected:
                self.refuse(301, redirected.keep_alive, f"Location: {redirected.location}\r\n")
            except Refused as refused:
                self.refuse(refused.status, refused.keep_alive)

    def answer(self, head: str) -> None:
        method, path, keep_alive = understand(head)
        file = open_below(self.folder, path, keep_alive)
        size = os.fstat(file.fileno()).st_size
        kind = mimetypes.guess_type(str(file.name))[0] or "application/octet-stream"
        answer = answer_head(200, size, kind, keep_alive)
        self.note(200, size)
        if method == "HEAD":
            self.transport.write(answer)
        elif size <= SMALL_FILE:
            self.transport.write(answer + file.read(size))
        else:
            self.file = file
            self.transport.write(answer)
            self.transport.send_file(file, 0, size)  # pauses until it is sent
            if not keep_alive:
                self.transport.close()
            return
        file.close()
        if not keep_alive:
            self.transport.close()

    def refuse(self, status: int, keep_alive: bool, more: str = "") -> None:
        text = f"{status} {http.HTTPStatus(status).phrase}\n".encode()
        head = answer_head(status, len(text), "text/plain", keep_alive, more)
        self.note(status, len(text))
        self.transport.write(head if self.request.startswith("HEAD ") else head + text)
        if not keep_alive:
            self.transport.close()

    def note(self, status: int, size: int) -> None:
        """Log a request that is being answered."""
        if self.log is None:
            return
        peer = self.transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else "-"
        now = time.localtime()
        shown = UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", self.request)
        sent = "-" if self.request.startswith("HEAD ") else size
        self.log(f"{host} - - [{now.tm_mday:02}/{MONTHS[now.tm_mon - 1]}/"
                 f"{time.strftime('%Y:%H:%M:%S %z', now)}] \"{shown}\" {status} {sent}")


def log_to_stderr(line: str) -> None:
    """Print a line of the log; a reader of it that is gone ends no connection."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr)


def understand(head: str) -> tuple[str, str, bool]:
    """(method, path, is the connection kept?) of a request."""
    request, *lines = head.split("\r\n")
    match = REQUEST_LINE.fullmatch(request)
    if match is None:
        raise Refused(400, keep_alive=False)
    method, target, minor = match.groups()
    headers = {}
    for line in lines:
        match = HEADER_LINE.fullmatch(line)
        if match is None:
            raise Refused(400, keep_alive=False)
        headers[match[1].lower()] = match[2]
    keep_alive = (headers.get("connection", "").lower() != "close" if minor == "1"
                  else headers.get("connection", "").lower() == "keep-alive")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        keep_alive = False  # a body, which is not read
    if method not in ("GET", "HEAD"):
        raise Refused(405, keep_alive)
    return method, target.partition("#")[0], keep_alive


def open_below(folder: pathlib.Path, target: str, keep_alive: bool) -> FileIO:
    """Open the file of a request: one that is really below the folder, or an index there."""
    target, mark, query = target.partition("?")
    # As the names of files are bytes: also those that are not UTF-8.
    path = os.fsdecode(urllib.parse.unquote_to_bytes(target.encode("latin-1")))
    if "\0" in path:
        raise Refused(400, keep_alive)
    relative = path.lstrip("/")
    try:
        wanted = below(folder, relative)
        if wanted.is_dir():
            if relative and not relative.endswith("/"):
                # One slash at the start: "//" would be another host.
                quoted = urllib.parse.quote(os.fsencode(relative))
                raise Redirected(f"/{quoted}/{mark}{query}", keep_alive)
            wanted = below(folder, relative + INDEX)
        elif relative.endswith("/"):
            raise FileNotFoundError
        if not wanted.is_file():  # a pipe would stop the server
            raise FileNotFoundError
        return open(wanted, "rb", buffering=0)
    except (OSError, ValueError, RuntimeError):
        # Absent, too long, not permitted, a loop of links (RuntimeError before 3.13), no
        # fd left, a name that the file system can't have.
        raise Refused(404, keep_alive) from None


def below(folder: pathlib.Path, relative: str) -> pathlib.Path:
    """Return the path without symbolic links; FileNotFoundError for one that leads outside."""
    wanted = (folder / relative).resolve()
    if not wanted.is_relative_to(folder):
        raise FileNotFoundError
    return wanted


def answer_head(status: int, size: int, kind: str, keep_alive: bool, more: str = "") -> bytes:
    connection = more if keep_alive else f"{more}Connection: close\r\n"
    return (f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
            f"Date: {email.utils.formatdate(usegmt=True)}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {size}\r\n{connection}\r\n"
            ).encode("latin-1")
