"""Sockets that know when bytes arrived: the kernel says so, however late they are read."""

from __future__ import annotations

import functools
import socket
import struct
import sys
import time

# Linux, asm-generic/socket.h: a `struct timespec` of the wall clock with every recvmsg.
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")


class StampedSocket(socket.socket):
    """A TCP socket whose `arrived` is when the bytes read last had come in, monotonic seconds.

    Elsewhere than on Linux that is when they were read.
    """

    arrived: float = 0.0

    def accept(self) -> tuple[StampedSocket, object]:
        fd, address = self._accept()  # type: ignore[attr-defined]  # as socket.accept does
        return StampedSocket(self.family, self.type, self.proto, fileno=fd), address

    def recv(self, size: int, flags: int = 0) -> bytes:
        data, extras, _, _ = self.recvmsg(size, 64, flags)
        now, wall = _both_clocks()
        self.arrived = now - _age(extras, wall)
        return data


def _age(extras: list[tuple[int, int, bytes]], wall: float) -> float:
    """Seconds that what came with `extras` lay in the kernel; 0 without a stamp."""
    for _, kind, value in extras:
        if kind == SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            came: float = seconds + nanoseconds / 1e9
            return wall - came
    return 0.0


def _both_clocks() -> tuple[float, float]:
    """Monotonic and wall clock of one instant, to 0.1 ms however busy the machine is."""
    while True:
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < 1e-4:
            return after, wall


def listening(port: int = 0, backlog: int = 1024) -> StampedSocket:
    """A listening socket on the loopback interface; port 0: any free one."""
    # asyncio turns Nagle's algorithm off where the protocol is named.
    listener = StampedSocket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        _kernel_stamps()
        # Those that it accepts have it from here: set later, it misses what was there before.
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


@functools.cache
def _kernel_stamps() -> socket.socket:
    """A socket that keeps Linux stamping for the life of this process, once it does so.

    Linux stamps what arrives only while some socket asks for it, and begins a moment after the
    first one asks; what came before that is stamped when it is read (`__sock_recv_timestamp`).

    Raises:
        RuntimeError: the kernel did not begin within 5 s.
    """
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    asking.bind(("127.0.0.1", 0))
    lain, give_up = 0.001, time.monotonic() + 5
    while time.monotonic() < give_up:
        asking.sendto(b"x", asking.getsockname())
        time.sleep(lain)
        _, extras, _, _ = asking.recvmsg(1, 64)
        if _age(extras, time.time()) >= lain / 2:
            return asking
    msg = "Linux does not stamp what arrives on 127.0.0.1 (SO_TIMESTAMPNS), waited 5 s"
    raise RuntimeError(msg)
