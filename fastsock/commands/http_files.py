"""Files over HTTP/1.1 as a protocol of Server: keep-alive, pipelining, sendfile.

Job: the worked example behind `python -m fastsock serve http`. GET and HEAD; else 400,
404, 405 or 431. Nothing outside of the folder is served, also not through ".." or
symbolic links. A request with a body is answered and its connection then closed.
"""

from __future__ import annotations

import email.utils
import http
import mimetypes
import os
import re
import urllib.parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pathlib
    from io import FileIO

    from fastsock._protocol import ProtocolTransport

LONGEST_HEAD = 16 * 1024
SMALL_FILE = 16 * 1024      # sent with its head, in one piece
REQUEST_LINE = re.compile(r"(\S+) (?:http://[^/\s]*)?(/\S*) HTTP/1\.([01])", re.ASCII)
HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Refused(Exception):
    """Ends a request by an answer without a file."""

    def __init__(self, status: int, keep_alive: bool = True) -> None:
        self.status = status
        self.keep_alive = keep_alive


class FileProtocol:
    """One connection: an asyncio.Protocol whose transport has send_file()."""

    transport: ProtocolTransport

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
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
                    self.refuse(431, keep_alive=False)
                return
            self.received = rest
            try:
                self.answer(head.decode("latin-1"))
            except Refused as refused:
                self.refuse(refused.status, refused.keep_alive)

    def answer(self, head: str) -> None:
        method, path, keep_alive = understand(head)
        file = open_below(self.folder, path, keep_alive)
        size = os.fstat(file.fileno()).st_size
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        answer = answer_head(200, size, kind, keep_alive)
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

    def refuse(self, status: int, keep_alive: bool) -> None:
        text = f"{status} {http.HTTPStatus(status).phrase}\n".encode()
        self.transport.write(
            answer_head(status, len(text), "text/plain", keep_alive) + text)
        if not keep_alive:
            self.transport.close()


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
    path = urllib.parse.unquote(urllib.parse.urlsplit(target).path)
    return method, path, keep_alive


def open_below(folder: pathlib.Path, path: str, keep_alive: bool) -> FileIO:
    """The file of a request; only what is really below the folder."""
    if "\0" in path:
        raise Refused(400, keep_alive)
    wanted = (folder / path.lstrip("/")).resolve()
    if not wanted.is_relative_to(folder) or not wanted.is_file():
        raise Refused(404, keep_alive)
    try:
        return open(wanted, "rb", buffering=0)
    except OSError:
        raise Refused(404, keep_alive) from None


def answer_head(status: int, size: int, kind: str, keep_alive: bool) -> bytes:
    connection = "" if keep_alive else "Connection: close\r\n"
    return (f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
            f"Date: {email.utils.formatdate(usegmt=True)}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {size}\r\n{connection}\r\n"
            ).encode("latin-1")
