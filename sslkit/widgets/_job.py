"""Work in the background: the kernel stays usable, an error is kept for the reader, and leaving never hangs."""

from __future__ import annotations

import atexit
import ctypes
import sys
import threading
import weakref
from collections.abc import Callable

RUNNING: weakref.WeakSet[Job] = weakref.WeakSet()


def cell() -> dict[str, str]:
    """The cell that is running: the "id" that its notebook gives it, its "code", and which "run" of it this is.

    It is empty outside of a kernel. Only programs in which a person works give an id.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    asked = getattr(shell, "get_parent", dict)()
    found = {
        "id": asked.get("metadata", {}).get("cellId"), "code": asked.get("content", {}).get("code"),
        "run": asked.get("header", {}).get("msg_id"),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


class Job:
    """One piece of work at a time in a thread of its own. To run a cell again ends the jobs that it had made before.

    running: whether it works now. failure: what stopped the last work, or None; error: that as a sentence, or "".
    patience: how many seconds the end of a program waits for it, before it is cut off.
    """

    def __init__(self, *, patience: float = 5):
        self.thread, self.running, self.flag, self.patience = None, False, threading.Event(), patience
        self.failure = None
        # Nobody could stop them: the name of the lab is that of the new one now, and its box is gone. Yet the old lab
        # lives on in IPython's Out and in the list of all widgets, so a weak reference would not do.
        made = cell()
        self.cell, self.turn = made.get("id") or made.get("code"), made.get("run")
        for job in list(RUNNING):
            if self.cell and job.cell == self.cell and job.turn != self.turn:
                job.stop()

    def start(self, work: Callable[[threading.Event], None], done: Callable[[], None]) -> None:
        """Call `work(stop)` in the background and then `done()`, whatever happened. `work` ends soon after `stop` is set.

        Raises ValueError if the last work is not done yet.
        """
        if self.running:
            raise ValueError("A training is running already: stop it first, or wait.")
        self.running, self.flag, self.failure = True, threading.Event(), None
        arguments = (work, done, self.flag)
        self.thread = threading.Thread(target=self._run, args=arguments, daemon=True, name="sslkit-lab")
        RUNNING.add(self)
        self.thread.start()

    def _run(self, work, done, flag) -> None:
        try:
            work(flag)
        except Exception as failure:
            self.failure = failure
        except SystemExit:  # cut off
            pass
        finally:
            self.running = False
            done()

    @property
    def error(self) -> str:
        """What stopped the last work."""
        if self.failure is None:
            return ""
        known = isinstance(self.failure, ValueError | OSError | ArithmeticError)  # ours say it all in one sentence
        said = (str(self.failure).strip().splitlines() or ["no message"])[0]
        return said if known else f"The work stopped with {type(self.failure).__name__}: {said}"

    def stop(self) -> None:
        """Ask the work to end."""
        self.flag.set()

    def cut(self) -> None:
        """Raise SystemExit where it is now: a t-SNE cannot be asked to stop, and must not outlive the interpreter."""
        self.stop()
        if self.running and self.thread is not threading.current_thread():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(SystemExit))
            self.thread.join(5)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the work is done. Raises TimeoutError after `timeout` seconds."""
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(timeout)
            if self.thread.is_alive():
                raise TimeoutError(f"The background is not done after {timeout:g} s.")


@atexit.register
def _leave() -> None:
    """A thread that computes while Python is taken down can crash it: let each finish its step."""
    jobs = [job for job in RUNNING if job.running]
    for job in jobs:
        job.stop()
    for job in jobs:
        job.thread.join(job.patience)
        job.cut()
