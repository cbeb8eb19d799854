"""A tiny HTTP/1.1 server of the files under a folder, by sendfile and threads.

Terminal 1:  python http_server.py some_folder --port 8080
Terminal 2:  curl -i http://127.0.0.1:8080/some_file

GET and HEAD, keep-alive and pipelining; else 400, 404 or 405. Nothing outside of the
folder is served, also not through ".." or symbolic links. A request with a body is
answered, and its connection then closed, as bodies are not read.
"""

import argparse
import contextlib
import email.utils
import http
import mimetypes
import pathlib
import re
import signal
import sys
import threading
import urllib.parse

import fastsock as socket

LONGEST_HEAD = 16 * 1024
IDLE_S = 30.0  # for the next request, and for a client that does not read
# An absolute URL is what proxies send; a server has to understand it too.
REQUEST_LINE = re.compile(r"(\S+) (?:http://[^/\s]*)?(/\S*|\*) HTTP/1\.([01])", re.ASCII)
HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Answer(Exception):
    """Ends a request by an answer without a file."""

    def __init__(self, status, keep_alive=True):
        self.status = status
        self.keep_alive = keep_alive


def read_head(connection, received):
    """The next request's lines, or None at the end; `received` keeps what is beyond."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > LONGEST_HEAD:
            raise Answer(400, keep_alive=False)
        data = connection.recv(65536)
        if not data:
            return None
        received += data
    lines = received[:end].decode("latin-1").split("\r\n")
    del received[:end + 4]
    return lines


def parse(lines):
    """(method, target, whether to keep the connection) of a request."""
    request = REQUEST_LINE.fullmatch(lines[0])
    headers = [HEADER_LINE.fullmatch(line) for line in lines[1:]]
    if not request or not all(headers):
        raise Answer(400, keep_alive=False)  # where the next one starts is uncertain
    method, target, minor = request.groups()
    headers = {match[1].lower(): match[2].lower() for match in headers}
    if minor == "1" and "host" not in headers:
        raise Answer(400, keep_alive=False)
    options = re.split(r"[ \t]*,[ \t]*", headers.get("connection", ""))
    keep_alive = minor == "1" or "keep-alive" in options
    if "close" in options or "content-length" in headers or "transfer-encoding" in headers:
        keep_alive = False
    return method, target, keep_alive


def find_file(folder, target):
    """The file that a target names, or None; never one that is outside of the folder."""
    name = urllib.parse.unquote(target.partition("?")[0]).lstrip("/")
    if "\0" in name:
        return None
    try:
        # resolve() follows ".." and links, so what is compared is what will be opened.
        path = (folder / name).resolve()
        if path.is_dir():
            path /= "index.html"
            path = path.resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, RuntimeError):  # too long a name, a loop of links
        return None


def head(status, length, kind, keep_alive):
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
             f"Date: {email.utils.formatdate(usegmt=True)}",
             f"Content-Length: {length}",
             f"Content-Type: {kind}",
             f"Connection: {'keep-alive' if keep_alive else 'close'}"]
    if status == 405:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def send_file(connection, path, method, keep_alive):
    """Answer with a file; False if it turned out shorter than we had said."""
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    try:
        file = open(path, "rb")
    except OSError:  # removed by now, or not readable by us
        raise Answer(404, keep_alive) from None
    with file:
        size = file.seek(0, 2)
        connection.sendall(head(200, size, kind, keep_alive))
        if method == "HEAD" or size == 0:
            return True
        return connection.sendfile(file, 0, size) == size


def answer_request(connection, folder, received):
    """Answer one request; False when the connection is to be closed."""
    method = "GET"
    try:
        lines = read_head(connection, received)
        if lines is None:
            return False
        method, target, keep_alive = parse(lines)
        if method not in ("GET", "HEAD"):
            raise Answer(405, keep_alive)
        path = find_file(folder, target)
        if path is None:
            raise Answer(404, keep_alive)
        return send_file(connection, path, method, keep_alive) and keep_alive
    except Answer as answer:
        body = f"{answer.status} {http.HTTPStatus(answer.status).phrase}\n".encode()
        answer_head = head(answer.status, len(body), "text/plain", answer.keep_alive)
        connection.sendall(answer_head + (b"" if method == "HEAD" else body))
        return answer.keep_alive


def serve_client(connection, folder, threads):
    received = bytearray()
    try:
        with connection:
            connection.settimeout(IDLE_S)
            # Or a file's last piece would wait for the acknowledgement of the head.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while answer_request(connection, folder, received):
                pass
            # To close with something unread would reset, and lose the answer.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(1)
            for _ in range(100):
                if not connection.recv(65536):
                    break
    except OSError:
        pass  # it went away or fell silent; there is nobody to tell
    finally:
        del threads[connection]


def main():
    parser = argparse.ArgumentParser(description="serve the files under a folder by HTTP")
    parser.add_argument("folder", nargs="?", default=".")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: any free port")
    args = parser.parse_args()
    folder = pathlib.Path(args.folder).resolve(strict=True)
    threads = {}  # connection: its thread
    with socket.create_server((args.host, args.port)) as server:
        print("listening on", *server.getsockname(), flush=True)
        try:
            while True:
                with contextlib.suppress(ConnectionAbortedError):
                    connection, _ = server.accept()
                    # Daemon, for the one that a second Ctrl-C keeps us from joining.
                    threads[connection] = threading.Thread(
                        target=serve_client, args=(connection, folder, threads), daemon=True)
                    threads[connection].start()
        finally:
            for connection, thread in list(threads.items()):
                with contextlib.suppress(OSError):  # it has just ended by itself
                    connection.shutdown(socket.SHUT_RDWR)
                if thread.is_alive():
                    thread.join()


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"http server: {error}")
