"""Shared by all tests: one thread, no network, small data."""

import os
import signal
import socket

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)  # tiny tensors: a second thread only waits
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; tests of Ctrl-C need it to arrive
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test may reach another machine: the kit works in a classroom without network."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"network is unreachable in tests: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def tiny_shapes():
    """A few hundred shapes at 16x16: enough to train on for some steps."""
    from sslkit.datasets import shapes

    return shapes(400, resolution=16)
