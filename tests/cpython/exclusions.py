"""What of the interpreter's tests is left out, and why.

LEFT_OUT is left out in all three columns. NOT_APPLICABLE lists tests that can't
apply to fastsock, at most five; they run in the stdlib's column only. So do, on a build
that lacks what they are about, those of OF_A_FACILITY.
"""

#: A prefix of a test id, and the reason.
LEFT_OUT = {
    "test.test_socket.ThreadedVSOCKSocketStreamTest":
        "hangs or fails on virtual machines, with the stdlib too",
    "test.test_timeout.TCPTimeoutTestCase":
        "connects to hosts on the internet",
}

#: Modules that ask for the network resource and use only addresses of this machine.
LOCAL_NETWORK = {"test_timeout", "test_socketserver"}

#: A test id, and the reason.
NOT_APPLICABLE = {}

#: By the name of fastsock._platform_facts: tests that CPython runs wherever sys.platform is
#: "linux", though a build may lack what they are about.
OF_A_FACILITY = {
    "abstract_addresses": [
        f"test.test_socket.TestLinuxAbstractNamespace.test{name}"
        for name in ("Autobind", "BytearrayName", "LinuxAbstractNamespace", "MaxName", "StrName")],
}


def not_applicable(facts):
    """{test id: reason}, for a build with these facilities."""
    return {**NOT_APPLICABLE, **{
        test: f"this build does without {name}"
        for name, tests in OF_A_FACILITY.items() if not facts[name] for test in tests}}
