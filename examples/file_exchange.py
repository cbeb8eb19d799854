"""Peer to peer file exchange: each node serves its folder, and fetches from others.

Terminal 1:  python file_exchange.py folder_a --port 4246
Terminal 2:  python file_exchange.py folder_b --port 4247
             then type:  list 127.0.0.1 4246
                         get 127.0.0.1 4246 some_file

A request and its answer are JSON texts after their length in 4 bytes; a file's bytes
follow the answer that tells its size and SHA-256. A fetched file appears in the folder
only when it is complete and right. "quit" or the end of the input ends the node.
"""

import argparse
import hashlib
import json
import os
import pathlib
import signal
import struct
import sys
import tempfile
import threading

import fastsock as socket

LENGTH = struct.Struct("!I")
LONGEST_MESSAGE = 16 * 1024 * 1024
TIMEOUT_S = 30.0


def receive_exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 65536))
        if not piece:
            raise ConnectionError("the peer closed the connection within a message")
        data += piece
    return bytes(data)


def send_message(sock, message):
    data = json.dumps(message).encode()
    sock.sendall(LENGTH.pack(len(data)) + data)


def receive_message(sock):
    (size,) = LENGTH.unpack(receive_exactly(sock, LENGTH.size))
    if size > LONGEST_MESSAGE:
        raise ConnectionError(f"the peer announced a message of {size} bytes")
    try:
        message = json.loads(receive_exactly(sock, size))
    except ValueError:
        raise ConnectionError("the peer's message is not JSON") from None
    if not isinstance(message, dict):
        raise ConnectionError("the peer's message is not an object")
    return message


def is_plain_name(name):
    """Whether it names a file right in a folder; our partial files start with a dot."""
    return (isinstance(name, str) and name == os.path.basename(name) and name.isprintable()
            and not name.startswith("."))


def shared_files(folder):
    """{name: path}; no links, as they may lead out of the folder."""
    return {path.name: path for path in sorted(folder.iterdir())
            if is_plain_name(path.name) and path.is_file() and not path.is_symlink()}


def serve_request(sock, folder):
    request = receive_message(sock)
    files = shared_files(folder)
    if request.get("do") == "list":
        send_message(sock, {"files": {n: path.stat().st_size for n, path in files.items()}})
    elif request.get("do") != "get":
        send_message(sock, {"error": "unknown request"})
    # Looked up, never joined to the folder: so there is no way out of it.
    elif not isinstance(request.get("name"), str) or request["name"] not in files:
        send_message(sock, {"error": "no such file"})
    else:
        with open(files[request["name"]], "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            send_message(sock, {"size": size, "sha256": digest})
            if size:
                sock.sendfile(file, 0, size)


def serve_peer(sock, folder):
    try:
        with sock:
            sock.settimeout(TIMEOUT_S)
            serve_request(sock, folder)
    except OSError:
        pass  # the peer sees its connection end early, and says so to its user


def serve(server, folder):
    while True:
        try:
            sock, _ = server.accept()
        except ConnectionAbortedError:
            continue
        # Daemon: nothing is lost by being cut off, as the peer checks what it got.
        threading.Thread(target=serve_peer, args=(sock, folder), daemon=True).start()


def ask(sock, request):
    send_message(sock, request)
    answer = receive_message(sock)
    if "error" in answer:
        raise ConnectionError(f"the peer refused: {answer['error']}")
    return answer


def list_files(address):
    with socket.create_connection(address, TIMEOUT_S) as sock:
        files = ask(sock, {"do": "list"}).get("files")
    if not isinstance(files, dict):
        raise ConnectionError("the peer sent no list")
    for name, size in files.items():
        if is_plain_name(name):  # it may be printed safely then
            print(f"{size} {name}", flush=True)
    print(f"{len(files)} files", flush=True)


def get_file(address, name, folder):
    if not is_plain_name(name):
        raise ValueError(f"{name!r} is not a plain file name")
    with (socket.create_connection(address, TIMEOUT_S) as sock,
          # In the same folder, since a rename works only within one file system.
          tempfile.NamedTemporaryFile(dir=folder, prefix=".partial-", delete=False) as file):
        try:
            answer = ask(sock, {"do": "get", "name": name})
            left = size = answer.get("size")
            if not isinstance(size, int) or size < 0:
                raise ConnectionError("the peer told no size")
            digest = hashlib.sha256()
            while left:
                data = sock.recv(min(left, 256 * 1024))
                if not data:
                    raise ConnectionError(f"the peer ended {left} bytes before the file's end")
                file.write(data)
                digest.update(data)
                left -= len(data)
            if digest.hexdigest() != answer.get("sha256"):
                raise ConnectionError("the SHA-256 of what came is not the announced one")
            file.flush()
            os.fsync(file.fileno())  # or a crash could leave the name with no content
            os.replace(file.name, folder / name)
        except BaseException:
            os.unlink(file.name)
            raise
    print(f"got {name}, {size} bytes, sha256 {digest.hexdigest()}", flush=True)


def obey(line, folder):
    """Do one typed command; False for the last."""
    words = line.split(maxsplit=3)
    try:
        if words == ["quit"]:
            return False
        if len(words) == 3 and words[0] == "list":
            list_files((words[1], int(words[2])))
        elif len(words) == 4 and words[0] == "get":
            get_file((words[1], int(words[2])), words[3].rstrip("\n"), folder)
        elif words:
            print("commands: list HOST PORT, get HOST PORT NAME, quit", flush=True)
    except (OSError, ValueError, OverflowError) as error:
        print(f"failed: {error}", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description="serve a folder, and fetch from others'")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4246, help="0: any free port")
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"{args.folder} is not a folder")
    # Not closed by us but by the end of the process: until then the thread is in accept().
    server = socket.create_server((args.host, args.port))
    print("listening on", *server.getsockname(), flush=True)
    # A thread of its own: we shall serve while we fetch, or two could block each other.
    threading.Thread(target=serve, args=(server, args.folder), daemon=True).start()
    for line in sys.stdin:
        if not obey(line, args.folder):
            break


if __name__ == "__main__":
    # SIGTERM, as sent by kill and systemd, ends us like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"file exchange: {error}")
