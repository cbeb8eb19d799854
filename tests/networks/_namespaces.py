"""Network namespaces that vanish with the process that made them.

Job: `Namespace` is one, held by a descriptor; inside `with space.inside():` this thread is in
it, and the sockets that it opens there are so for ever. `enter()` gives the process the rights
to make some.

Rules: nothing outside is touched: no names in /run/netns, no link to the machine's own
network. A namespace is gone when its descriptor and its last socket are closed, however the
process ends.
"""

import contextlib
import ctypes
import errno
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

CLONE_NEWNET = 0x40000000
CLONE_NEWUSER = 0x10000000

LINK = "v0"     # the name of the one link that each namespace has, beside lo


class NotPermitted(Exception):
    """There is no such thing here; says why."""


def _system_call(name, *arguments):
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}(): {os.strerror(error)}")


def enter():
    """Put this process, which has one thread, into a network namespace of its own; raises
    NotPermitted."""
    if sys.platform != "linux":
        raise NotPermitted("network namespaces are Linux's")
    if shutil.which("ip") is None:
        raise NotPermitted("the program ip (iproute2) is missing")
    try:
        _system_call("unshare", CLONE_NEWNET)
    except OSError as error:
        if os.geteuid() == 0:
            raise NotPermitted(f"no network namespaces, though this is root: {error}") from None
        user, group = os.getuid(), os.getgid()
        try:
            _system_call("unshare", CLONE_NEWUSER | CLONE_NEWNET)
            pathlib.Path("/proc/self/setgroups").write_text("deny")
            pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        except OSError as error:
            raise NotPermitted("this is not root, and the system allows no user namespaces: "
                               f"{error}") from None
    try:
        ip("link set lo up")
    except subprocess.CalledProcessError as error:
        raise NotPermitted(f"a network namespace can't be set up: {error.stderr}") from None


def ip(*commands):
    """Run lines of ip(8) where this thread is."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n", text=True,
                   capture_output=True, check=True)


class Namespace:
    """An empty network; all but `lo` is to be added. `home` is where the process lives."""

    home = None
    here = threading.local()    # .fd: where this thread is, if not at home

    def __init__(self):
        if Namespace.home is None:
            Namespace.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _system_call("unshare", CLONE_NEWNET)
        try:
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        finally:
            _system_call("setns", Namespace.home, CLONE_NEWNET)
        self.ip("link set lo up")
        # Addresses of IPv6 can be used at once. (No more than a wait, where it is refused.)
        for which in ("all", "default"):
            with contextlib.suppress(NotPermitted):
                self.set(f"ipv6/conf/{which}/accept_dad", 0)

    @contextlib.contextmanager
    def inside(self):
        before = getattr(Namespace.here, "fd", Namespace.home)
        self._go(self.fd)
        try:
            yield self
        finally:
            self._go(before)

    def _go(self, fd):
        _system_call("setns", fd, CLONE_NEWNET)
        Namespace.here.fd = fd

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def ip(self, *commands):
        with self.inside():
            ip(*commands)

    def set(self, name, value):
        """A setting of the kernel's: net/NAME under /proc/sys."""
        with self.inside():
            try:
                pathlib.Path("/proc/sys/net", name).write_text(str(value))
            except OSError as error:
                raise NotPermitted(f"/proc/sys can't be written: {error}") from None

    def counter(self, group, name):
        """One of the kernel's counts for this network, of /proc/net/snmp and netstat."""
        with self.inside():
            lines = [line for file in ("snmp", "netstat")
                     for line in pathlib.Path("/proc/thread-self/net", file).read_text().splitlines()]
        names, values = (line.split() for line in lines if line.startswith(f"{group}:"))
        return int(values[names.index(name)])

    def settle(self):
        """Return when no processor is still handling a packet.

        The kernel counts a packet before it sets the error of the socket that it is for. Closing
        a packet socket waits for an RCU grace period, and packets are handled inside of one.
        """
        with self.inside():
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()

    def wait_for_links(self):
        """Return when each link carries packets: a link that is set up drops them until the
        kernel's worker has given it a queue, and says nothing."""
        for _ in range(2000):
            with self.inside():
                found = subprocess.run(["ip", "-oneline", "link"], text=True, check=True,
                                       capture_output=True).stdout.splitlines()
            if all(",LOWER_UP" in line and "qdisc noop " not in line
                   for line in found if ": lo:" not in line):
                return
            time.sleep(0.01)
        raise AssertionError(f"a link never came up: {found}")

    def reach(self, host):
        """Have the hosts on the way to another know one another's link address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with self.inside(), socket.socket(family) as sock:
            sock.settimeout(20)
            found = sock.connect_ex((host, 1))
        assert found == errno.ECONNREFUSED, f"{host}: {os.strerror(found)}"

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


@contextlib.contextmanager
def linked(mtu=1500):
    """Two networks with a link: (10.77.0.1, fd77::1) and (10.77.0.2, fd77::2)."""
    with Namespace() as near, Namespace() as far:
        near.ip(f"link add {LINK} mtu {mtu} type veth peer name {LINK} mtu {mtu} netns {far.path}")
        for number, space in enumerate((near, far), 1):
            space.ip(*addresses_of(number, mtu), f"link set {LINK} up")
        for space in (near, far):
            space.wait_for_links()
        yield near, far


def addresses_of(number, mtu=1500):
    """Commands for what stands on a link."""
    found = [f"addr add 10.77.0.{number}/24 dev {LINK}"]
    if mtu >= 1280:  # IPv6 goes over no smaller ones
        found.append(f"addr add fd77::{number}/64 dev {LINK} nodad")
    return found


NEAR, FAR = "10.77.0.1", "10.77.0.2"
NEAR6, FAR6 = "fd77::1", "fd77::2"


@contextlib.contextmanager
def routed(far_mtu=1500):
    """Two networks with a router between: 10.77.1.1 and fd77:1::1, 10.77.2.1 and fd77:2::1.

    All three have exchanged packets already.
    """
    with Namespace() as near, Namespace() as router, Namespace() as far:
        # What the far link can't carry is the router's to refuse, not TCP's to know.
        for number, space, mtu in ((1, near, 1500), (2, far, far_mtu)):
            space.ip(f"link add {LINK} mtu {mtu} type veth "
                     f"peer name r{number} mtu {mtu} netns {router.path}",
                     f"addr add 10.77.{number}.1/24 dev {LINK}", f"link set {LINK} up")
            router.ip(f"addr add 10.77.{number}.254/24 dev r{number}", f"link set r{number} up")
            if far_mtu >= 1280:
                space.ip(f"addr add fd77:{number}::1/64 dev {LINK} nodad")
                router.ip(f"addr add fd77:{number}::fe/64 dev r{number} nodad")
                space.ip(f"route add default via fd77:{number}::fe")
            space.ip(f"route add default via 10.77.{number}.254")
        router.set("ipv4/ip_forward", 1)
        router.set("ipv6/conf/all/forwarding", 1)
        for space in (near, router, far):
            space.set("ipv4/icmp_ratelimit", 0)
            space.set("ipv6/icmp/ratelimit", 0)
            space.wait_for_links()
        # Else the first packet is refused, or late, because a host behind is still asked for.
        near.reach(ROUTED_FAR)
        if far_mtu >= 1280:
            near.reach(ROUTED_FAR6)
        yield near, router, far


ROUTED_FAR, ROUTED_FAR6 = "10.77.2.1", "fd77:2::1"
