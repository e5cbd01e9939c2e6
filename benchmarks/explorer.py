"""How fast the explorer is in headless Chromium without a graphics card: 12,000 points x 10 epochs, and a stress test.

    python benchmarks/explorer.py            # about two minutes: both sizes; writes benchmarks/records/explorer/
    python benchmarks/explorer.py --quick    # 2,000 points x 3 epochs, no record: only to see that it runs

Shown: from the opening of the page (a file) until every point and the pictures are drawn. Frames: how many are painted in
a second while the map is dragged for three seconds, the slowest twentieth of the times between them, and the computing
time that the page itself needs for one, which does not depend on what else the machine does. The goals for 12,000 x 10 are
2 s, 30 frames a second (33 ms for one) and 10 MB. The pictures are 32 x 32 natural-looking noise, the maps are random:
neither matters for speed, and the size of the page is that of hard pictures.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from _rows import frame, where

from sslkit import datasets
from sslkit.widgets import Explorer

MINUTES = 1  # a row
SIZES = {"goal": (12_000, 10), "stress": (50_000, 20)}
FEW = (2000, 3)
PAINTS = """() => { window.paints = []; const to = CanvasRenderingContext2D.prototype, put = to.putImageData;
    to.putImageData = function (...a) { window.paints.push(performance.now()); return put.apply(this, a); } }"""
SHOWN = """() => { const e = document.querySelector('.sslkit-explorer');
    return e && e.dataset.state === 'idle' && e.dataset.ready === 'yes' }"""


def build(n: int, epochs: int) -> tuple[Explorer, float]:
    """An explorer whose maps and neighbours exist, and how long it took to make the rest of it."""
    g = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 8, 8, generator=g)
    images = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear") + 0.06 * torch.randn(
        n, 3, 32, 32, generator=g
    )
    data = datasets.arrays((images.clamp(0, 1) * 255).byte(), torch.arange(n) % 10)
    layouts = {"mine": torch.randn(epochs, n, 2, generator=g)}
    start = time.perf_counter()
    explorer = Explorer(torch.rand(epochs, n, 4, generator=g), data, layouts=layouts, perplexities=[], title="explorer")
    seconds = time.perf_counter() - start
    explorer.close()  # the background is not what is measured
    explorer.scene.neighbours = torch.randint(n, (n, 8), generator=g)
    return explorer, seconds


def measure(chromium, n: int, epochs: int) -> dict:
    """One size: seconds until shown, frames a second, bytes of the page."""
    explorer, making = build(n, epochs)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        file = explorer.save(Path(folder) / "page.html")
        saving = time.perf_counter() - start
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(f"({PAINTS})()")
        start = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_function(SHOWN, timeout=120_000)
        shown = time.perf_counter() - start
        frames = {"panning": drag(page)}
        page.evaluate("() => { window.paints = [] }")
        page.locator("[data-control=epoch]").focus()
        page.keyboard.press("Home")
        page.wait_for_timeout(100)
        page.wait_for_function(SHOWN, timeout=120_000)
        frames["moving"] = rate(page.evaluate("window.paints"))
        page.close()
        size = file.stat().st_size
    return {
        "points": n, "epochs": epochs, "seconds to make": making, "seconds to save": saving, "seconds to show": shown,
        "frames": frames, "page MB": size / 1e6,
    }  # fmt: skip


def drag(page, seconds: float = 3.0) -> dict:
    """Drag the map in circles and count what is painted."""
    box = page.locator(".stage > canvas").bounding_box()
    page.evaluate("() => { window.paints = [] }")
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})  # the page's own computing, whatever else runs
    busy = lambda: {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}["TaskDuration"]
    before = busy()
    x, y, start, i = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, time.perf_counter(), 0
    page.mouse.move(x, y)
    page.mouse.down()
    while time.perf_counter() - start < seconds:
        i += 1
        page.mouse.move(x + 5 * (i % 20), y + 3 * (i % 15))
    page.mouse.up()
    paints = page.evaluate("window.paints")
    return rate(paints) | {"own ms": 1000 * (busy() - before) / len(paints)}


def rate(paints: list[float]) -> dict:
    """Frames a second, and the milliseconds that 95 % of the times between frames stay below."""
    between = torch.tensor(paints).diff()
    return {"per second": 1000 / between.mean().item(), "slow ms": between.quantile(0.95).item()}


def job(size: tuple[int, int], options) -> dict:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-accelerated-2d-canvas"]
        chromium = play.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        record = measure(chromium, *(FEW if options.quick else size))
        chromium.close()
    return record


ROWS = {name: partial(job, size) for name, size in SIZES.items()}


def tables(records: list[dict]) -> str:
    """The records as Markdown."""
    columns = (
        "points x epochs", "shown after", "frames per second while panning", "slowest 5 % above", "computing per frame",
        "while moving between epochs", "page",
    )  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    for r in records:
        pan, move = r["frames"]["panning"], r["frames"]["moving"]
        lines.append(
            f"| {r['points']:,} x {r['epochs']} | {r['seconds to show']:.1f} s | {pan['per second']:.0f} "
            f"| {pan['slow ms']:.0f} ms | {pan['own ms']:.1f} ms | {move['per second']:.0f} | {r['page MB']:.1f} MB |"
        )
    return "\n".join([*lines, "", where(records)]) if records else "No records yet."


if __name__ == "__main__":
    frame("explorer", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, quick=["goal"])
