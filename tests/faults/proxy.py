"""A TCP proxy before a broker that can hold single requests back and let them go later, as a slow network does.

A request that is held keeps all behind it on its connection waiting. When the client gives the connection up, the
broker's side stays open, and the request arrives all the same: late."""
import random
import socket
import struct
import threading
import time

PRODUCE, ADD_PARTITIONS, ADD_OFFSETS, END, COMMIT_OFFSETS = 0, 24, 25, 26, 28
OF_TRANSACTIONS = (PRODUCE, ADD_PARTITIONS, ADD_OFFSETS, END, COMMIT_OFFSETS)


class Proxy:
    """Thread-safe."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.chance, self.seconds, self.random = 0.0, (0, 0), random.Random(0)
        self.held = 0
        self.flowing = threading.Event()
        self.flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, chance, seconds, seed):
        """From now on a request of a transaction is held with this probability, for a time between the two."""
        with self.lock:
            self.chance, self.seconds, self.random = chance, seconds, random.Random(seed)

    def cut(self):
        """From now on nothing passes, either way, and nobody is told: a cable that is pulled."""
        self.flowing.clear()

    def release(self):
        with self.lock:
            self.chance = 0.0
        self.flowing.set()

    def close(self):
        self.listener.close()

    def _delay(self, key):
        with self.lock:
            if key not in OF_TRANSACTIONS or self.random.random() >= self.chance:
                return 0
            self.held += 1
            return self.random.uniform(*self.seconds)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _requests(self, client, server):
        try:
            while True:
                head = _read(client, 6)
                if head is None:
                    break
                size, key = struct.unpack(">ih", head)
                body = _read(client, size - 2)
                if body is None:
                    break
                if (delay := self._delay(key)) > 0:
                    time.sleep(delay)  # the fault itself
                self.flowing.wait()
                server.sendall(head + body)
        except OSError:
            pass
        for end, how in ((server, socket.SHUT_WR), (client, socket.SHUT_RD)):
            _shut(end, how)

    def _answers(self, server, client):
        gone = False
        while True:
            try:
                data = server.recv(65536)
            except OSError:
                break
            if not data:
                break
            self.flowing.wait()
            if not gone:
                try:
                    client.sendall(data)
                except OSError:
                    gone = True  # what is on its way to the broker still arrives
        _shut(client, socket.SHUT_WR)
        for end in (client, server):
            end.close()


def _read(end, count):
    """`count` bytes; None: the other side is gone."""
    data = bytearray()
    while len(data) < count:
        part = end.recv(count - len(data))
        if not part:
            return None
        data += part
    return bytes(data)


def _shut(end, how):
    try:
        end.shutdown(how)
    except OSError:
        pass
