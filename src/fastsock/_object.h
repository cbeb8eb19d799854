/* The head of CPython's socket object, which CPython does not install.
 *
 * The order of these fields (Modules/socketmodule.h, PySocketSockObject) has
 * held from 3.5 on; from 3.12 on a pointer to the module's state follows. The
 * import proves both on real sockets (_object.pyx), so that an interpreter that
 * differs is refused and not read wrongly.
 */
#ifndef FASTSOCK_OBJECT_H
#define FASTSOCK_OBJECT_H

#include <Python.h>
#include <stdint.h>

typedef struct {
    PyObject_HEAD
    int fd;                         /* -1 when closed */
    int family;                     /* AF_INET, ... */
    int type;                       /* SOCK_STREAM, ..., without flag bits */
    int proto;
    PyObject *(*error_handler)(void);
    int64_t timeout_ns;             /* -1e9 or below 0: blocks; 0: non-blocking */
} SocketHead;

/* sizeof(PySocketSockObject) of the interpreter that we are compiled for. */
#if PY_VERSION_HEX >= 0x030C0000
#  define FASTSOCK_OBJECT_SIZE ((Py_ssize_t)(sizeof(SocketHead) + sizeof(void *)))
#else
#  define FASTSOCK_OBJECT_SIZE ((Py_ssize_t)sizeof(SocketHead))
#endif

#endif /* FASTSOCK_OBJECT_H */
