#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""
A vhost-user-fs back-end with one fault, for the tests of viofs-mount: odd_backend.py SOCKET FAULT

Serves an empty root folder over split rings without EVENT_IDX; one front-end, then it ends. Faults
apply from the second request on, or to INIT where the name says so:
  none, other-unique, short, long, positive-error, notification, unknown-id, used-jump, err-eventfd,
  init-error, init-major, init-greedy (asks for everything that viofs-mount cannot give)
"""
import mmap
import os
import select
import socket
import struct
import sys

INIT, GETATTR, STATFS, FORGET, DESTROY = 26, 3, 17, 2, 38
REPLIES = {1: 1 << 30 | 1 << 32, 15: 1 << 0 | 1 << 3, 17: 2}  # features, protocol features, queues
NEED_REPLY = 1 << 3


class Ring:
    def __init__(self):
        self.size = self.base = 0
        self.addresses = None
        self.kick = self.call = self.err = -1


class BackEnd:
    def __init__(self, sock, fault):
        self.sock, self.fault = sock, fault
        self.rings = [Ring(), Ring()]
        self.memory = None

    def serve(self):
        while True:
            kicks = {r.kick: r for r in self.rings if r.kick >= 0}
            for ready in select.select([self.sock, *kicks], [], [])[0]:
                if ready is self.sock:
                    if not self.message():
                        return
                elif ready in kicks:
                    os.read(ready, 8)
                    self.work(kicks[ready])

    def message(self):
        header, fds, _, _ = socket.recv_fds(self.sock, 12, 8)
        if len(header) < 12:
            return False
        request, flags, size = struct.unpack("<III", header)
        payload = self.sock.recv(size, socket.MSG_WAITALL) if size else b""
        answer = self.handle(request, payload, fds)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self.sock.sendall(struct.pack("<III", request, 5, len(answer)) + answer)
        return True

    def handle(self, request, payload, fds):
        if request in REPLIES:
            return struct.pack("<Q", REPLIES[request])
        if request == 5:  # SET_MEM_TABLE
            _, _, self.gpa, size, self.uva, offset = struct.unpack_from("<IIQQQQ", payload)
            self.memory = mmap.mmap(fds[0], size, offset=offset)
        if 8 <= request <= 14:
            ring = self.rings[payload[0]]
            if request == 8:
                ring.size = struct.unpack("<II", payload)[1]
            elif request == 9:
                _, _, *places = struct.unpack("<IIQQQQ", payload)
                ring.addresses = [place - self.uva for place in places[:3]]
            elif request == 10:
                ring.base = struct.unpack("<II", payload)[1]
            elif request == 11:
                ring.kick = -1
                return struct.pack("<II", payload[0], ring.base)
            else:
                setattr(ring, {12: "kick", 13: "call", 14: "err"}[request], fds[0])
        return None

    def chain(self, ring, head):
        """The pieces of a chain: (offset, length), readable and writable."""
        pieces = [], []
        while True:
            address, length, flags, following = struct.unpack_from(
                "<QIHH", self.memory, ring.addresses[0] + 16 * head)
            pieces[flags >> 1 & 1].append((address - self.gpa, length))
            if not flags & 1:
                return pieces
            head = following

    def work(self, ring):
        desc, used, avail = ring.addresses
        del desc
        while struct.unpack_from("<H", self.memory, avail + 2)[0] != ring.base:
            head, = struct.unpack_from("<H", self.memory, avail + 4 + 2 * (ring.base % ring.size))
            readable, writable = self.chain(ring, head)
            message = b"".join(self.memory[at:at + n] for at, n in readable)
            reply = self.reply(message)
            left = reply
            for at, length in writable:
                self.memory[at:at + len(left[:length])] = left[:length]
                left = left[length:]
            self.finish(ring, used, head, len(reply), message)
        os.write(ring.call, struct.pack("<Q", 1))

    def finish(self, ring, used, head, length, message):
        opcode, = struct.unpack_from("<I", message, 4)
        jump = 1
        if opcode not in (INIT, FORGET):
            if self.fault == "err-eventfd":
                os.write(ring.err, struct.pack("<Q", 1))
            head = 60000 if self.fault == "unknown-id" else head
            jump = 5000 if self.fault == "used-jump" else 1
            length = {"short": 7, "long": 1 << 20}.get(self.fault, length)
        struct.pack_into("<II", self.memory, used + 4 + 8 * (ring.base % ring.size), head, length)
        ring.base = ring.base + 1 & 0xffff
        struct.pack_into("<H", self.memory, used + 2, ring.base - 1 + jump & 0xffff)

    def reply(self, message):
        _, opcode, unique = struct.unpack_from("<IIQ", message)
        error, body = 0, b""
        if opcode == FORGET:
            return b""
        if opcode == INIT:
            error, body = self.init(message)
        else:
            if opcode == GETATTR:
                attr = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
                body = struct.pack("<QII", 0, 0, 0) + attr
            elif opcode == STATFS:
                body = struct.pack("<5Q10I", 1, 1, 1, 1, 1, 4096, 255, 4096, *[0] * 7)
            elif opcode != DESTROY:
                error = -38
            if self.fault == "other-unique":
                unique += 2
            elif self.fault == "positive-error":
                error, body = 5, b""
            elif self.fault == "notification":  # invalidate inode 1
                unique, error, body = 0, 2, struct.pack("<QQQ", 1, 0, 0)
        return struct.pack("<IiQ", 16 + len(body), error, unique) + body

    def init(self, message):
        _, minor, readahead, flags, flags2 = struct.unpack_from("<5I", message, 40)
        if self.fault == "init-error":
            return -13, b""
        # What is impossible without a window must not have been offered.
        impossible = 1 << 26, 1 << 1 | 1 << 5 | 1 << 9
        if flags & impossible[0] or flags2 & impossible[1]:
            print("offered the impossible", flush=True)
        major = 8 if self.fault == "init-major" else 7
        wanted, wanted2, size, pages = flags & (1 << 0 | 1 << 22 | 1 << 30), 0, 1 << 20, 256
        if self.fault == "init-greedy":
            wanted |= impossible[0]
            wanted2, size, pages = impossible[1], 1 << 30, 65535
        return 0, struct.pack("<4IHHIIHHI7I", major, minor, readahead, wanted, 12, 9, size, 1, pages,
                              12, wanted2, *[0] * 7)


def main():
    path, fault = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    sock, _ = listener.accept()
    BackEnd(sock, fault).serve()


main()
