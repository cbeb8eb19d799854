"""The interpreter's AddressFamily and SocketKind members, by number.

Rule: the members are the stdlib's own objects, looked up once; a number that the
interpreter has no name for stays an int, as there.
"""

import socket as stdlib_socket

cdef enum:
    KNOWN = 64


cdef list members_of(object enum):
    """[the member of each number]; those above are flags of socket(2), and no types."""
    cdef list found = [None] * KNOWN
    for member in enum:
        if member < KNOWN:
            found[member] = member
    return found


cdef list families = members_of(stdlib_socket.AddressFamily)
cdef list types = members_of(stdlib_socket.SocketKind)


cdef object family_member(int family):
    return member_of(families, family)


cdef object type_member(int type):
    return member_of(types, type)


cdef inline object member_of(list members, int number):
    # Below 0 is above, too.
    if <unsigned int>number < KNOWN and members[number] is not None:
        return members[number]
    return number
