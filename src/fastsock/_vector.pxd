# Several buffers as an iovec. Its rules are in `_vector.pyx`.

from fastsock._libc cimport iovec
from fastsock._python cimport BufferView


cdef class Vector:
    cdef iovec *parts           # set by borrow(); the caller may advance them
    cdef BufferView *views
    cdef Py_ssize_t count       # how many are borrowed
    cdef tuple items            # a view of bytes holds no reference of its own

    cdef int borrow(self, object buffers, bint writable, str what) except -1
