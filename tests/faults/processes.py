"""Processes that end with us, and can be killed, frozen and started again."""
import ctypes
import os
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """A promise that was not kept, or a step that could not be done."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(seconds, ready, interval=0.1):
    """Asks `ready` until it says yes; its last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := ready()) and time.monotonic() < deadline:
        time.sleep(interval)
    return answer


def write(path, text):
    """Replaces the file at once: a reader sees the old one or the new one."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


class Process:
    """One program, started as often as needed; what it says goes to one log. For one thread: a child ends with the
    thread that started it."""

    def __init__(self, name, command, log):
        self.name, self.command, self.log = name, command, log
        self.child = None
        self.frozen = False
        self.begin = 0  # in the log, of the output of the run at hand

    def start(self, **environment):
        if self.running():
            raise Failed(f"{self.name} runs already")
        with open(self.log, "a", encoding="utf-8") as log:
            self.begin = log.tell()
            self.child = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **environment},
                preexec_fn=lambda: _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.frozen = False

    def running(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, number):
        if self.running():
            self.child.send_signal(number)

    def kill(self):
        """As a power cut. True: it was running."""
        if not self.running():
            return False
        self.child.kill()
        self.child.wait()
        self.frozen = False
        return True

    def freeze(self):
        self.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.signal(signal.SIGCONT)
        self.frozen = False

    def stop(self, seconds=40):
        """SIGTERM; its exit code."""
        self.thaw()
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds):
        """Its exit code; below 0 a signal's. It is killed and Failed is raised if it takes longer."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} does not end:\n{self.tail()}") from None

    def output(self):
        """Of the run at hand."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            log.seek(self.begin)
            return log.read()

    def says(self, text, seconds=60):
        """Waits until it has said so; False: it ended, or time is over."""
        wait_until(seconds, lambda: text in self.output() or not self.running())
        return text in self.output()

    def port(self, name, seconds=60):
        """That a service chose and logged."""
        if not self.says(f'"{name}":', seconds):
            raise Failed(f"{self.name} does not start:\n{self.tail()}")
        text = self.output()
        digits = text[text.index(f'"{name}":') + len(name) + 3:]
        return int(digits[:len(digits) - len(digits.lstrip("0123456789"))])

    def tail(self, lines=25):
        return "\n".join(self.output().splitlines()[-lines:])
