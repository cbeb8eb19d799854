"""Datagrams that the kernel glued together (UDP_GRO): cut apart as the control message says."""

import socket

import fastsock
from fastsock._platform_facts import facts

from tests.coverage_fuzz.target import Choices, Target, same

MOST_SEGMENTS = 64


class GluedDatagrams(Target):
    """recvmmsg() and a batch: every datagram that was sent, alone, cut off where it is told."""

    longest_bytes = 64

    @staticmethod
    def why_not():
        return None if facts()["segmentation"] else "this build does without segmentation"

    def open(self):
        enter = self.resources.enter_context
        self.sender, self.receiver = (
            enter(fastsock.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
        self.receiver.bind(("127.0.0.1", 0))
        self.sender.connect(self.receiver.getsockname())
        self.receiver.settimeout(5)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.receiver.enable_gro()
        self.counter = 0

    def check(self, data):
        choices = Choices(data)
        ancillary, into_batch = choices.number() & 1, choices.number() & 1
        count, room = 1 + choices.number() % 32, 1 + choices.number(2) % 2048
        sent = []
        for _ in range(1 + choices.number() % 4):
            size, total = 1 + choices.number(2) % 1400, 1 + choices.number(2) % 20000
            total = min(total, size * MOST_SEGMENTS)
            # Other bytes each time: what one receive leaves behind is not what the next brings.
            self.counter += 1
            payload = (self.counter % 65521).to_bytes(2, "little") * (total // 2 + 1)
            payload = payload[:total]
            self.sender.send_segmented(payload, size)
            sent += [payload[at:at + size] for at in range(0, total, size)]
        got = []
        while len(got) < len(sent):
            got += (self.into_batch(count, room, ancillary) if into_batch
                    else self.as_objects(count, room, ancillary))
        same(got, [(one[:room], len(one)) for one in sent], data)

    def as_objects(self, count, room, ancillary):
        """[(its data, its full size)]"""
        return [(bytes(one[0]), getattr(one[0], "full_size", len(one[0])))
                for one in self.receiver.recvmmsg(count, room, ancillary=bool(ancillary))]

    def into_batch(self, count, room, ancillary):
        batch = fastsock.DatagramBatch(count, room)
        number = self.receiver.recvmmsg_into(batch, ancillary=bool(ancillary))
        same(number, len(batch))
        for index in range(number):
            same(batch.truncated(index), len(batch[index]) < batch.full_size(index))
        return [(bytes(batch[index]), batch.full_size(index)) for index in range(number)]
