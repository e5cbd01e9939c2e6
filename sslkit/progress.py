"""What shows a run while it trains: a progress bar, and rows for TensorBoard."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from sslkit import checkpoint


class Bar:
    """Shows history rows as they come. `show=None`: wherever somebody looks (a terminal or a notebook, not a log)."""

    def __init__(self, config, show: bool | None = None, *, begin: int = 0):
        if show is None:
            show = (sys.stderr.isatty() or "ipykernel" in sys.modules) and not os.environ.get("CI")
        self.config, self.show, self.begin, self.bar = config, show, begin, None

    def __enter__(self) -> Bar:
        if self.show:
            from tqdm.auto import tqdm

            look = "{percentage:3.0f}% |{bar}| {postfix[0]} [{elapsed}, {remaining} left]"
            first = [f"step {self.begin:,} of {self.config.steps:,}"]
            begin = self.config.work(self.begin)  # what an earlier training did took no time of this one
            self.bar = tqdm(total=1.0, initial=begin, dynamic_ncols=True, bar_format=look, postfix=first)
        return self

    def __exit__(self, *exception) -> None:
        if self.bar is not None:
            self.bar.close()

    def and_then(self, watch: Callable[[dict], None] | None) -> Callable[[dict], None]:
        """A function for `fit(watch=...)` that moves the bar and calls `watch` too."""

        def both(row: dict) -> None:
            if self.bar is not None:
                said = [f"step {row['step']:,} of {self.config.steps:,}"]
                if "loss" in row:
                    said += [f"loss {row['loss']:.3f}", f"{row['images_per_second']:,.0f} images/s"]
                self.bar.postfix[0] = ", ".join(said)
                done = self.config.work(row["step"])  # small views are quick: time left is of work
                self.bar.update(done - self.bar.n)
            if watch is not None:
                watch(row)

        return both


class TensorBoard:
    """Writes history rows where `tensorboard --logdir folder` shows them: `pretrain(..., watch=TensorBoard(folder))`.

    Every number of a row is a curve over steps. Raises ModuleNotFoundError with one sentence without TensorBoard.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("TensorBoard is not installed: pip install 'sslkit[tensorboard]'.") from error
        self.folder, self.open, self.writer = str(checkpoint.check_writable(folder)), SummaryWriter, None

    def __call__(self, row: dict) -> None:
        self.writer = self.writer or self.open(self.folder)  # at the first row: only the first process gets one
        for name in row.keys() - {"step"}:
            self.writer.add_scalar(name, row[name], row["step"])
        self.writer.flush()
