"""What the connections of a server share: limits, the loop, and how a new one is made."""


cdef class Hub:
    """What the connections of a server share.

    Parameters
    ----------
    loop : Loop
    make_connection : callable
        Without arguments: a new Transport for the next connection.
    max_connections : int
    high_water : int
        Bytes that wait to be sent: above them a connection's writer is told to pause, at
        or below a quarter to go on.
    make_protocol : callable or None
        Without arguments: a protocol for a new connection.
    ssl_context : ssl.SSLContext or None
    handshake_timeout_s : float
    """

    def __init__(self, Loop loop, make_connection, *, max_connections, high_water,
                 make_protocol=None, ssl_context=None, handshake_timeout_s=60.0):
        self.loop = loop
        self.make_connection = make_connection
        self.max_connections = max_connections
        self.high_water = high_water
        self.low_water = high_water // 4
        self.make_protocol = make_protocol
        self.ssl_context = ssl_context
        self.handshake_timeout_s = handshake_timeout_s

    def for_outgoing(self, make_protocol, ssl_context, server_hostname, waiter):
        """A hub for one outgoing connection, which is counted in this one from now on.

        Parameters
        ----------
        make_protocol, ssl_context
            As for Hub.
        server_hostname : str or None
            The name that the peer's certificate must have.
        waiter
            Has methods is_cancelled(), opened(transport, protocol) and lost(reason).
        """
        cdef Hub made = Hub(
            self.loop, None, max_connections=1, high_water=self.high_water,
            make_protocol=make_protocol, ssl_context=ssl_context,
            handshake_timeout_s=self.handshake_timeout_s)
        made.parent = self
        made.server_hostname = server_hostname
        made.waiter = waiter
        self.outgoing += 1
        return made

    def never_began(self):
        """Count an outgoing connection no more, for which there never was a transport."""
        self.connection_ended()

    def call_when_room(self, function):
        """Tell whom to call when a connection has ended."""
        self.on_room = function

    cdef int connection_ended(self) except -1:
        cdef bint lacked_memory = False
        if self.parent is not None:
            self.parent.outgoing -= 1
            on_room = self.parent.on_room
        else:
            self.connections -= 1
            on_room = self.on_room
        try:
            on_room()
        except MemoryError:
            lacked_memory = True
        if lacked_memory:  # again: else nobody might be accepted any more
            self.loop.soon.append((on_room, ()))
        return 0


cdef class Connection(Watched):
    """What a listener hands an accepted fd to; no type to make objects of."""

    cdef int begin(self, int fd, Hub hub, int family, SocketAddress *peer) except -1:
        """Take the fd over. Raises what is not this connection's fault."""
        raise NotImplementedError
