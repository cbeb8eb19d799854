"""What of the interpreter's tests is left out, and why.

LEFT_OUT is left out in all three columns. NOT_APPLICABLE lists tests that can't
apply to fastsock, at most five; they run in the stdlib's column only.
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
