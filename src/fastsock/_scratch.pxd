# Memory a thread. Its rules are in `_scratch.h`.

cdef enum:
    # Receives of at most this go through the C stack.
    STACK_SIZE = 4096

cdef extern from "_scratch.h" nogil:
    const size_t FASTSOCK_LARGEST_SCRATCH

cdef char *borrow_scratch(size_t size) noexcept nogil
cdef void give_back_scratch(size_t used) noexcept nogil
