"""The operations: for each, what its arguments are drawn from, and how a world does it.

Rules: a function takes (world, sock, *arguments) and returns plain values, or raises what
the socket raised. Results that differ from run to run (ports, paths) go through the world's
`named`. An operation that may wait says for what, by READS or WRITES.
"""

import array
import os
import threading

from tests.fuzz import values as v

READS, WRITES = 1, 4  # POLLIN, POLLOUT

#: name: (function, lists of arguments, what it may wait for)
OPERATIONS = {}
#: The names, as often as they are drawn.
NAMES = []


def operation(*arguments, waits=0, weight=2):
    def enter(function):
        name = function.__name__.rstrip("_")
        OPERATIONS[name] = function, arguments, waits
        NAMES.extend([name] * weight)
        return function
    return enter


SPARE = [2, 3]  # the places where new sockets go
PLACES = [0, 1] * 6 + SPARE
DATA = v.READABLE, v.DATA_SIZES
ROOM = v.WRITABLE, v.DATA_SIZES

# -- sending ----------------------------------------------------------------------------


@operation(*DATA, v.SEND_FLAGS, waits=WRITES, weight=10)
def send(world, sock, kind, size, flags):
    return sock.send(world.data(sock, kind, size, flags), flags)


@operation(*DATA, v.SEND_FLAGS, waits=WRITES, weight=8)
def sendall(world, sock, kind, size, flags):
    return sock.sendall(world.data_in_pieces(sock, kind, size, flags), flags)


@operation(*DATA, v.SEND_FLAGS, v.ADDRESSES, waits=WRITES, weight=8)
def sendto(world, sock, kind, size, flags, address):
    data, address = world.data(sock, kind, size, flags), world.address(address)
    return sock.sendto(data, address) if flags == 0 else sock.sendto(data, flags, address)


@operation(*DATA, v.COUNTS, v.MESSAGES, v.SEND_FLAGS, [None] * 200 + v.ADDRESSES, waits=WRITES,
           weight=10)
def sendmsg(world, sock, kind, size, count, messages, flags, address):
    if count * size > 1 << 20:
        size = 9
    parts = [world.data(sock, kind, size, flags) for _ in range(count)]
    messages = world.messages(messages)
    if address is not None:
        return sock.sendmsg(parts, messages, flags, world.address(address))
    return sock.sendmsg(parts, messages, flags)


@operation([1, 2, 0, 253], v.SMALL_SIZES, waits=WRITES)
def send_fds(world, sock, count, size):
    world.data(sock, "bytes", size, 0)
    return world.module.send_fds(sock, [v.PATTERN[:size]], [world.pipe] * count)


@operation(v.FILE_KINDS, v.FILE_SIZES, v.OFFSETS, v.FILE_COUNTS, waits=WRITES, weight=4)
def sendfile(world, sock, kind, size, offset, count):
    file = world.file_to_send(sock, kind, size)
    if file is None:
        return "not here"
    try:
        result = sock.sendfile(file, offset, count)
    except Exception as error:
        return world.raised(error), world.position(file)
    return result, world.position(file)

# -- receiving --------------------------------------------------------------------------


@operation(v.SIZES, v.RECEIVE_FLAGS, waits=READS, weight=14)
def recv(world, sock, size, flags):
    data = sock.recv(size) if flags == 0 else sock.recv(size, flags)
    return world.written(sock, data, size, flags)


@operation(v.SIZES, v.RECEIVE_FLAGS, waits=READS, weight=6)
def recvfrom(world, sock, size, flags):
    data, address = sock.recvfrom(size, flags)
    return world.written(sock, data, size, flags), world.named(address)


@operation(*ROOM, [0] * 150 + v.SIZES, v.RECEIVE_FLAGS, waits=READS, weight=8)
def recv_into(world, sock, kind, size, nbytes, flags):
    target = v.buffer(kind, size)
    return sock.recv_into(target, nbytes, flags), v.content(target)


@operation(*ROOM, [0] * 150 + v.SIZES, v.RECEIVE_FLAGS, waits=READS, weight=5)
def recvfrom_into(world, sock, kind, size, nbytes, flags):
    target = v.buffer(kind, size)
    count, address = sock.recvfrom_into(target, nbytes, flags)
    return count, world.named(address), v.content(target)


@operation(v.SIZES, v.CONTROL_ROOM, v.RECEIVE_FLAGS, waits=READS, weight=8)
def recvmsg(world, sock, size, room, flags):
    data, messages, arrived, address = sock.recvmsg(size, room, flags)
    return (world.written(sock, data, size, flags), world.received(messages), arrived,
            world.named(address))


@operation(*ROOM, v.COUNTS, v.CONTROL_ROOM, v.RECEIVE_FLAGS, waits=READS, weight=6)
def recvmsg_into(world, sock, kind, size, count, room, flags):
    if count * size > 1 << 20:
        size = 9
    targets = [v.buffer(kind, size) for _ in range(count)]
    number, messages, flags, address = sock.recvmsg_into(targets, room, flags)
    return (number, [v.content(target) for target in targets], world.received(messages), flags,
            world.named(address))


@operation(v.SMALL_SIZES, [1, 2, 0, 253, 7], waits=READS)
def recv_fds(world, sock, size, count):
    data, fds, flags, address = world.module.recv_fds(sock, size, count)
    for fd in fds:
        os.close(fd)
    return data, len(fds), flags, world.named(address)

# -- naming and connecting --------------------------------------------------------------


@operation(v.ADDRESSES, weight=4)
def bind(world, sock, address):
    if address[0] == "name of":
        world.refuse_tcp(sock)
    return sock.bind(world.address(address))


@operation(v.ADDRESSES, weight=5)
def connect(world, sock, address):
    return sock.connect(world.address(address))


@operation(v.ADDRESSES, weight=4)
def connect_ex(world, sock, address):
    return sock.connect_ex(world.address(address))


@operation([1, 5, 0, -1, 1 << 31, None], weight=3)
def listen(world, sock, backlog):
    return sock.listen(backlog)


@operation(SPARE, waits=READS, weight=4)
def accept(world, sock, place):
    connection, address = sock.accept()
    return world.put(place, connection), world.named(address)


@operation(v.TIMEOUTS[:3], weight=4)
def connect_and_accept(world, sock, timeout):
    """A new client of a socket that perhaps listens, and what that makes of it."""
    address = world.possible(sock.getsockname())
    client = world.module.socket(sock.family, sock.type)
    made = world.put(2, client)
    client.settimeout(timeout)
    try:
        client.connect(address)
    except BlockingIOError as error:  # on its way; the others mean that nobody is there
        made = made, error.errno
    connection, address = sock.accept()
    return made, world.put(3, connection), world.named(address), world.named(
        client.getsockname())


@operation([1, 0, 2, 3, -1, 1 << 31, None, "1"])
def shutdown(world, sock, how):
    return sock.shutdown(how)


@operation()
def getsockname(world, sock):
    return world.named(sock.getsockname())


@operation()
def getpeername(world, sock):
    return world.named(sock.getpeername())

# -- settings -----------------------------------------------------------------------------


def through_none(world, sock):
    # From one timeout to another we leave O_NONBLOCK as a dup's owner made it: on the page
    # "Differences".
    if world.shares_files and sock.fileno() >= 0:
        sock.settimeout(None)


@operation(v.TIMEOUTS, weight=10)
def settimeout(world, sock, timeout):
    through_none(world, sock)
    return sock.settimeout(timeout)


@operation(v.ODD_TIMEOUTS)
def settimeout_for_a_moment(world, sock, timeout):
    # Nothing may wait so long: it is set back at once.
    try:
        sock.settimeout(timeout)
        return sock.gettimeout(), sock.getblocking(), sock.timeout
    finally:
        through_none(world, sock)
        sock.settimeout(0.001)


@operation(v.FLAGS_OF_BLOCKING)
def setblocking(world, sock, flag):
    return sock.setblocking(flag)


@operation(v.READ_OPTIONS, v.OPTION_SIZES, weight=4)
def getsockopt(world, sock, option, size):
    # Above 1,024 is on the page "Differences".
    return sock.getsockopt(*option, size)


@operation(v.WRITTEN_OPTIONS, v.OPTION_VALUES, weight=4)
def setsockopt(world, sock, option, value):
    if option in v.ONLY_ONE:
        value = 1
    if option in v.AUTOBINDING:
        world.possible("")  # it gives a sender an abstract address
    return sock.setsockopt(*option, *(value if isinstance(value, tuple) else (value,)))


@operation([True, False, 1, 0, None, "x"])
def set_inheritable(world, sock, value):
    return sock.set_inheritable(value), sock.get_inheritable()

# -- while another thread waits -------------------------------------------------------------


RECEIVES = {"recv": lambda sock: sock.recv(9), "recvfrom": lambda sock: sock.recvfrom(9)[0],
            "recvmsg": lambda sock: sock.recvmsg(9)[0],
            "recv_into": lambda sock: v.received_into(sock.recv_into, 9)}


@operation(list(RECEIVES), [v.stdlib.SOCK_STREAM, v.stdlib.SOCK_DGRAM], [None, 20], v.MEANWHILE,
           range(6), weight=2)
def change_meanwhile(world, sock, receive, kind, timeout, changes, pause):
    """A thread receives on a socket while this one changes it, and then sends: "allowed" if
    what came of it is in the set of what may, since the two race."""
    data, found = b"meanwhile", []
    first, second = world.module.socketpair(v.stdlib.AF_UNIX, kind)

    def work():
        try:
            found.append(RECEIVES[receive](first))
        except OSError as error:
            found.append(type(error))

    with first, second:
        first.settimeout(timeout)
        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(pause):
            os.sched_yield()
        for change, value in changes:
            if change == "settimeout":
                first.settimeout(value)
            elif change == "O_NONBLOCK":
                with world.module.socket(fileno=os.dup(first.fileno())) as other:
                    os.set_blocking(other.fileno(), value)
            else:
                first.setsockopt(v.stdlib.SOL_SOCKET, v.stdlib.SO_RCVTIMEO, value)
        second.send(data)
        thread.join()
    allowed = [data]
    set_to = [value for change, value in changes if change == "settimeout"]
    others = len(set_to) != len(changes)
    # Only the stdlib: O_NONBLOCK for the call, and no timeout any more when it looks.
    goes_back = world.module is v.stdlib and None in set_to
    if 0 in set_to or goes_back or (others and timeout is None):
        allowed.append(BlockingIOError)
    return "allowed" if found[0] in allowed else found[0]


# -- from one object to another --------------------------------------------------------------


@operation(SPARE, v.FAMILIES, v.TYPES, v.PROTOCOLS, weight=3)
def create(world, sock, place, family, kind, protocol):
    return world.put(place, world.module.socket(family, kind, protocol))


@operation(v.FAMILIES, v.TYPES, v.PROTOCOLS)
def socketpair(world, sock, family, kind, protocol):
    first, second = world.module.socketpair(family, kind, protocol)
    return world.put(2, first), world.put(3, second)


@operation(SPARE)
def dup(world, sock, place):
    world.shares_files = True
    return world.put(place, sock.dup())


@operation(SPARE)
def fromfd(world, sock, place):
    world.shares_files = True
    return world.put(place, world.module.fromfd(
        sock.fileno(), sock.family, sock.type, sock.proto))


@operation(SPARE)
def adopt(world, sock, place):
    """A socket that other code made: in the stdlib's world it is one already."""
    world.shares_files = True
    return world.put(place, world.adopt(v.stdlib.socket(fileno=os.dup(sock.fileno()))))


@operation(SPARE, weight=1)
def detach_and_reopen(world, sock, place):
    fd = sock.detach()
    if fd < 0:
        return fd
    return world.put(place, world.module.socket(fileno=fd))


@operation(weight=2)
def close(world, sock):
    return sock.close()


@operation()
def describe(world, sock):
    return (sock.family, sock.type, sock.proto, sock.timeout, sock.getblocking(),
            sock.fileno() >= 0, sock.get_inheritable())

# -- files over sockets -----------------------------------------------------------------------


@operation(v.MODES, v.BUFFERINGS, weight=4)
def makefile(world, sock, mode, buffering):
    world.files.append(sock.makefile(mode, buffering))
    world.sockets_of_files.append(sock)
    return type(world.files[-1]).__name__


def newest(world):
    if not world.files:
        makefile(world, world.places[0], "rwb", None)
    return world.files[-1]


@operation([1, 0, 5, 512, 4096, 8193, 70000, None], waits=READS, weight=3)
def file_read(world, sock, size):
    return newest(world).read(size)


@operation([1, 0, 5, 512, 8193, -1, None], waits=READS, weight=3)
def file_readline(world, sock, size):
    return newest(world).readline(size)


@operation(*ROOM, waits=READS)
def file_readinto(world, sock, kind, size):
    target = v.buffer(kind, size)
    return newest(world).readinto(target), v.content(target)


@operation(*DATA, waits=WRITES, weight=3)
def file_write(world, sock, kind, size):
    file = newest(world)
    return file.write(world.data_in_pieces(sock, kind, size, 0)), file.flush()


@operation([b"", b"\n", b"one\ntwo", b"\xff\n"], waits=WRITES)
def file_writelines(world, sock, text):
    file = newest(world)
    return file.writelines([world.data_in_pieces(sock, "bytes", 9, 0), text]), file.flush()


@operation(waits=WRITES)
def file_close(world, sock):
    return newest(world).close()


@operation()
def file_describe(world, sock):
    file = newest(world)
    return file.closed, file.readable(), file.writable(), file.seekable(), file.fileno() >= 0


@operation(waits=WRITES, weight=1)  # it writes what an earlier write could not
def file_detach(world, sock):
    # The raw file under the buffer takes its place: unbuffered reads on the same socket.
    world.files[-1] = newest(world).detach()
    return type(world.files[-1]).__name__


@operation([array.array("i", [0, 1, 2]).tobytes(), b""], waits=WRITES, weight=1)
def sendmsg_of_an_iterator(world, sock, data):
    world.data(sock, "bytes", 2 * len(data), 0)
    return sock.sendmsg(iter([data, bytearray(data)]), iter([]))
