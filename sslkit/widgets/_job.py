"""Work in the background: the kernel stays usable, an error is kept for the reader, and leaving never hangs."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable

RUNNING: weakref.WeakSet[Job] = weakref.WeakSet()
PATIENCE = 5  # seconds that the end of a program waits for a step to finish


class Job:
    """One piece of work at a time in a thread of its own.

    running: whether it works now. error: what stopped the last work, one sentence; "" if nothing did.
    """

    def __init__(self):
        self.thread, self.running, self.flag, self.error = None, False, threading.Event(), ""

    def start(self, work: Callable[[threading.Event], None], done: Callable[[], None]) -> None:
        """Call `work(stop)` in the background and then `done()`, whatever happened. `work` ends soon after `stop` is set.

        Raises ValueError if the last work is not done yet.
        """
        if self.running:
            raise ValueError("A training is running already: stop it first, or wait.")
        self.running, self.flag, self.error = True, threading.Event(), ""
        arguments = (work, done, self.flag)
        self.thread = threading.Thread(target=self._run, args=arguments, daemon=True, name="sslkit-lab")
        RUNNING.add(self)
        self.thread.start()

    def _run(self, work, done, flag) -> None:
        try:
            work(flag)
        except Exception as error:
            known = isinstance(error, ValueError | OSError | ArithmeticError)  # ours say it all in one sentence
            said = (str(error).strip().splitlines() or ["no message"])[0]
            self.error = said if known else f"The training stopped with {type(error).__name__}: {said}"
        finally:
            self.running = False
            done()

    def stop(self) -> None:
        """Ask the work to end."""
        self.flag.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the work is done. Raises TimeoutError after `timeout` seconds."""
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(timeout)
            if self.thread.is_alive():
                raise TimeoutError(f"The training is not done after {timeout:g} seconds.")


@atexit.register
def _leave() -> None:
    """A thread that computes while Python is taken down can crash it: let each finish its step."""
    jobs = [job for job in RUNNING if job.running]
    for job in jobs:
        job.stop()
    for job in jobs:
        job.thread.join(PATIENCE)
