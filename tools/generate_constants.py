"""Write src/fastsock/_constants_table.h from src/fastsock/constants.txt.

    python tools/generate_constants.py           writes the header
    python tools/generate_constants.py --check   exit status 1 if it is out of date
"""

import pathlib
import sys

SOURCE = pathlib.Path(__file__).parent.parent / "src" / "fastsock"
LIST = SOURCE / "constants.txt"
TABLE = SOURCE / "_constants_table.h"

HEAD = """\
/* Generated from constants.txt by tools/generate_constants.py: do not edit.
 *
 * The system's headers come first; the value in the list is used where they are
 * older than the kernel's interface, on architectures with the generic one.
 */
#ifndef FASTSOCK_CONSTANTS_TABLE_H
#define FASTSOCK_CONSTANTS_TABLE_H

#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "_platform.h"

"""

ENTRY = """\
#if !defined({name}) && FASTSOCK_GENERIC_ABI
#  define {name} {value}
#endif
"""

TABLE_HEAD = """
typedef struct { const char *name; long long value; } fastsock_constant;

static fastsock_constant fastsock_constants[] = {
"""

ROW = """\
#ifdef {name}
    {{"{name}", (long long)({name})}},
#endif
"""

TAIL = """\
    {NULL, 0},
};

#endif /* FASTSOCK_CONSTANTS_TABLE_H */
"""


def read_list():
    """The (name, value) pairs of the list, in its order."""
    lines = (line.split("#")[0].split() for line in LIST.read_text().splitlines())
    return [(line[0], line[1]) for line in lines if line]


def render():
    """The text of the header."""
    constants = read_list()
    return "".join([
        HEAD,
        *(ENTRY.format(name=name, value=value) for name, value in constants),
        TABLE_HEAD,
        *(ROW.format(name=name) for name, _ in constants),
        TAIL,
    ])


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if TABLE.read_text() == render() else f"{TABLE} is out of date")
    TABLE.write_text(render())
