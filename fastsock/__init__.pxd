# What `cimport fastsock` gives: see capi.pxd.

from fastsock.capi cimport Handle, borrow, recv, recv_exactly, send, sendall
