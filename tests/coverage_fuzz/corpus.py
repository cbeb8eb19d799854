"""The inputs that are kept: corpus/TARGET.txt, an input a line, in hexadecimal.

Job: reading and writing these files. What libFuzzer found worth keeping stands there; an input
that once failed has a comment behind it (`#`) that says why, and stays whatever else is found.
"""

import hashlib
import pathlib

FOLDER = pathlib.Path(__file__).parent / "corpus"


def read(target, folder=FOLDER):
    """{input: comment or None}, in the order of the file; empty if there is none."""
    found = {}
    path = pathlib.Path(folder) / f"{target}.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        text, _, comment = line.partition("#")
        if text.strip() or not comment:
            found[bytes.fromhex(text)] = comment.strip() or None
    return found


def write(target, inputs, folder=FOLDER):
    """Write the file anew: of those that are there, what has a comment stays."""
    kept = {data: comment for data, comment in read(target, folder).items() if comment}
    kept |= {data: None for data in sorted(inputs, key=lambda data: (len(data), data))
             if data not in kept}
    lines = [data.hex() + (f"  # {comment}" if comment else "") for data, comment in kept.items()]
    (pathlib.Path(folder) / f"{target}.txt").write_text("\n".join(lines) + "\n")


def unpack(target, into, folder=FOLDER):
    """One file an input, as libFuzzer takes them."""
    for data in read(target, folder):
        (pathlib.Path(into) / hashlib.sha1(data).hexdigest()).write_bytes(data)
