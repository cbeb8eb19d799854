"""The interpreter's AddressFamily and SocketKind members, by number.

Rule: the members are the stdlib's own objects, looked up once; a number that the
interpreter has no name for stays an int, as there.
"""

import socket as stdlib_socket

cdef enum:
    KNOWN = 64

cdef list families = [None] * KNOWN
cdef list types = [None] * KNOWN


cdef object family_member(int family):
    if 0 <= family < KNOWN and families[family] is not None:
        return families[family]
    return look_up(families, stdlib_socket.AddressFamily, family)


cdef object type_member(int type):
    if 0 <= type < KNOWN and types[type] is not None:
        return types[type]
    return look_up(types, stdlib_socket.SocketKind, type)


cdef object look_up(list known, object enum, int number):
    try:
        member = enum(number)
    except ValueError:
        return number
    if 0 <= number < KNOWN:
        known[number] = member
    return member
