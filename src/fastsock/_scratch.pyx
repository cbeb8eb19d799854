"""The one module that owns the threads' scratch memory: see `_scratch.h`."""

cdef extern from "_scratch.h" nogil:
    char *fastsock_borrow_scratch(size_t size)
    void fastsock_give_back_scratch(size_t used)


cdef char *borrow_scratch(size_t size) noexcept nogil:
    """Memory of at least `size` bytes, or NULL: it is lent already, or too small."""
    return fastsock_borrow_scratch(size)


cdef void give_back_scratch(size_t used) noexcept nogil:
    """End of use; `used` is how many bytes of it were written."""
    fastsock_give_back_scratch(used)
