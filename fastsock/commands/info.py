"""`python -m fastsock info`: versions, what of this machine is used, and what is not and why."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import sys
import sysconfig

import fastsock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fastsock info",
        description="Show versions, which kernel facilities and fast paths are in use on this "
                    "machine, and why one is not.")
    parser.parse_args(arguments)
    for name, value in versions():
        print(f"{name:24} {value}")
    print()
    for name, is_used, why in facilities():
        print(f"{name:24} {'yes' if is_used else 'no ':4} {why}")
    return 0


def versions() -> Iterator[tuple[str, str]]:
    """(what, version or place)"""
    free = sysconfig.get_config_var("Py_GIL_DISABLED")
    yield "fastsock", f"{fastsock.__version__} ({os.path.dirname(fastsock.__file__)})"
    yield "Python", (f"{platform.python_implementation()} {platform.python_version()}"
                     f"{', free-threaded' if free else ''} ({sys.executable})")
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "C library", " ".join(platform.libc_ver()) or "unknown"
    yield "compiler", shutil.which("cc") or shutil.which("gcc") or "none"


def facilities() -> Iterator[tuple[str, bool, str]]:
    """(name, is it used here, what it is for or why it is not)"""
    from fastsock._platform_facts import facts
    known = facts()
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    yield ("trying before waiting", known["dontwait"],
           "one system call where data is there, by MSG_DONTWAIT" if known["dontwait"]
           else "this build has no MSG_DONTWAIT: calls wait first")
    yield ("keeping the GIL", known["dontwait"] and gil_enabled,
           "this interpreter runs without a GIL" if not gil_enabled
           else "calls that can't block don't hand it over" if known["dontwait"]
           else "without MSG_DONTWAIT any call may block")
    yield ("accept4, SOCK_CLOEXEC", known["atomic_flags"],
           "flags are set by the call that opens" if known["atomic_flags"]
           else "flags take calls of their own on this system or build")
    yield ("recvmmsg, sendmmsg", known["many_datagrams"],
           "many datagrams a system call" if known["many_datagrams"]
           else "loops over single calls on this system or build")
    yield segmentation(known)
    yield ("epoll", known["epoll"], "loops and selectors wait by epoll(7)" if known["epoll"]
           else "loops wait by poll(2) on this system or build")
    yield ("splice", known["splice"], "relays move pages" if known["splice"]
           else "relays copy on this system or build")
    yield ("abstract addresses", known["abstract_addresses"],
           "AF_UNIX without a file" if known["abstract_addresses"]
           else "AF_UNIX takes paths alone on this system or build")
    yield ("SO_REUSEPORT for workers", known["shared_ports"],
           "each worker of a server has a listener" if known["shared_ports"]
           else "a server's workers share a listener on this system or build")
    yield busy_polling(known)
    yield ("installed", socket.socket is fastsock.socket,
           "socket.socket is fastsock's" if socket.socket is fastsock.socket
           else "fastsock.install() was not called in this process")


def segmentation(known: dict[str, bool]) -> tuple[str, bool, str]:
    """UDP_SEGMENT and UDP_GRO, which the kernel has from 4.18 and 5.0 on."""
    name = "UDP_SEGMENT, UDP_GRO"
    if not known["segmentation"]:
        return name, False, "this system or build has none: datagrams are cut by us"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(fastsock.SOL_UDP, fastsock.UDP_GRO, 1)
    except OSError as error:
        return name, False, f"the kernel refuses it: {error.strerror}"
    return name, True, "large datagrams are cut and glued by the kernel"


def busy_polling(known: dict[str, bool]) -> tuple[str, bool, str]:
    """SO_BUSY_POLL, which needs a network device with a driver for it."""
    name = "SO_BUSY_POLL"
    if not known["busy_poll"]:
        return name, False, "this system or build has none; set_busy_poll() busy-polls in the process"
    try:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, fastsock.SO_BUSY_POLL, 1)
    except OSError as error:
        return name, False, (f"the kernel refuses it: {error.strerror} (it may want "
                             "CAP_NET_ADMIN); set_busy_poll() busy-polls in the process")
    return name, True, "set_busy_poll() has the kernel poll the network device as well"
