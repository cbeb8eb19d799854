"""Sockets sent to other processes: START-METHOD WAY ORDER. Prints JSON.

WAY: pipe, queue, process (as an argument of Process) or pool. ORDER: which of the
two modules is imported first, or `installed` for socket.socket under install().
A __main__ that multiprocessing imports again: all but functions is behind the guard.
"""

import json
import sys

start_method, way, order = sys.argv[1:] if len(sys.argv) == 4 else ("spawn", "", "")
if order == "multiprocessing first":
    import multiprocessing
    import multiprocessing.reduction
    import fastsock
else:
    import fastsock
    import multiprocessing

LIMIT_S = 20


def module():
    """What the program takes its sockets of."""
    if order == "installed":
        import socket
        assert socket.socket is fastsock.socket
        return socket
    return fastsock


def use(sock):
    """Answer on the socket in the process that got it; what it is there."""
    with sock:
        sock.settimeout(LIMIT_S)
        question = sock.recv(100)
        sock.sendall(question[::-1])
        cls = type(sock)
        return {"class": f"{cls.__module__}.{cls.__qualname__}", "family": int(sock.family),
                "type": int(sock.type), "proto": sock.proto, "asked": question.decode(),
                "is fastsock.socket": cls is fastsock.socket}


def use_argument(sock, reply):
    reply.send(use(sock))
    reply.close()


def use_received(channel, reply):
    # A queue has get(), the end of a pipe recv().
    sock = channel.get(timeout=LIMIT_S) if hasattr(channel, "get") else channel.recv()
    use_argument(sock, reply)


def use_listener(listener, reply):
    with listener:
        listener.settimeout(LIMIT_S)
        connection, _ = listener.accept()
        reply.send(use(connection))
    reply.close()


def by_process(context, target, *arguments):
    """Run the target in a process, ask it, and take what it says by a pipe."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, sender))
    process.start()
    sender.close()
    return process, receiver


def ask(sock):
    sock.settimeout(LIMIT_S)
    sock.sendall(b"question")
    assert sock.recv(100) == b"noitseuq"


def finish(process, receiver):
    assert receiver.poll(LIMIT_S), "the other process says nothing"
    found = receiver.recv()
    receiver.close()
    process.join(LIMIT_S)
    assert process.exitcode == 0
    return found


def main():
    context = multiprocessing.get_context(start_method)
    socket = module()
    if way == "listener":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            process, receiver = by_process(context, use_listener, listener)
            with socket.create_connection(listener.getsockname(), timeout=LIMIT_S) as client:
                ask(client)
                return finish(process, receiver)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=LIMIT_S)
        sent, _ = listener.accept()
    assert type(client) is type(sent) is fastsock.socket
    with client, sent:
        if way == "pool":
            with context.Pool(1) as pool:
                waiting = pool.apply_async(use, (sent,))
                ask(client)
                found = waiting.get(LIMIT_S)
                pool.close()
                pool.join()
                return found
        if way == "process":
            process, receiver = by_process(context, use_argument, sent)
        elif way == "pipe":
            ours, theirs = context.Pipe()
            process, receiver = by_process(context, use_received, theirs)
            theirs.close()
            ours.send(sent)
        elif way == "queue":
            queue = context.Queue()
            process, receiver = by_process(context, use_received, queue)
            queue.put(sent)
        ask(client)
        found = finish(process, receiver)
        if way == "queue":
            queue.close()
            queue.join_thread()
        elif way == "pipe":
            ours.close()
        return found


if __name__ == "__main__":
    print(json.dumps(main()))
