"""The memory of several Python buffers as an iovec: readv(2), writev(2).

Rule: every buffer stays borrowed as long as the object lives, on every way out.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.limits cimport INT_MAX

from fastsock._buffers cimport borrow_readable, borrow_writable
from fastsock._python cimport PyBuffer_Release


cdef class Vector:
    """The memory of several Python buffers, lent as an iovec until it is freed.

    Internal: lives inside one call. `what` opens the messages of its errors.
    """
    def __dealloc__(self):
        cdef Py_ssize_t index
        for index in range(self.count):
            PyBuffer_Release(&self.views[index])
        PyMem_Free(self.views)
        PyMem_Free(self.parts)

    cdef int borrow(self, object buffers, bint writable, str what) except -1:
        cdef tuple items
        cdef Py_ssize_t size
        try:
            items = tuple(buffers)
        except TypeError:
            raise TypeError(f"{what} must be an iterable") from None
        size = len(items)
        if size > INT_MAX:
            raise OSError(f"{what} is too long")
        if size == 0:
            return 0
        self.parts = <iovec *>PyMem_Calloc(size, sizeof(iovec))
        self.views = <BufferView *>PyMem_Calloc(size, sizeof(BufferView))
        if self.parts == NULL or self.views == NULL:
            raise MemoryError
        self.items = items
        for item in items:
            if writable:
                borrow_writable(
                    item, &self.views[self.count],
                    f"{what} must be an iterable of single-segment read-write buffers;")
            else:
                borrow_readable(item, &self.views[self.count])
            self.parts[self.count].iov_base = self.views[self.count].buf
            self.parts[self.count].iov_len = self.views[self.count].len
            self.count += 1
        return 0
