"""What processes of this machine listen on, from /proc alone. Not a test itself."""

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

LISTEN = "0A"


def listening(pids):
    """[(address, port, pid)] of listening TCP sockets of processes, in any network namespace."""
    found, tables = set(), {}
    for pid in pids:
        with suppress(OSError):
            network = os.readlink(f"/proc/{pid}/ns/net")
            if network not in tables:
                tables[network] = _table(pid)
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    target = os.readlink(entry)
                    if target in tables[network]:
                        found.add((*tables[network][target], pid))
    return sorted(found)


def _table(pid):
    """{"socket:[inode]": (address, port)} of the listening sockets of a process' network."""
    table = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN:
                address, port = words[1].split(":")
                table[f"socket:[{words[9]}]"] = (_address(address), int(port, 16))
    return table


def _address(text):
    """An address from the kernel's four-byte words in machine order; IPv4 in IPv6 as IPv4."""
    raw = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
