"""The table of targets: by the names of the command line, and of the files in corpus/."""

from tests.coverage_fuzz.addresses import AddressTexts, SocketAddresses
from tests.coverage_fuzz.control import ControlMessages, Descriptors
from tests.coverage_fuzz.datagrams import GluedDatagrams
from tests.coverage_fuzz.framings import Framings
from tests.coverage_fuzz.servers import HttpRequests, ServedMessages
from tests.coverage_fuzz.streams import Streams

TARGETS = {
    "framings": Framings,
    "streams": Streams,
    "served_messages": ServedMessages,
    "control_messages": ControlMessages,
    "descriptors": Descriptors,
    "socket_addresses": SocketAddresses,
    "address_texts": AddressTexts,
    "glued_datagrams": GluedDatagrams,
    "http_requests": HttpRequests,
}
