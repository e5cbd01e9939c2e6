"""Build data/fashion.npz: 10,000 training and 2,000 test pictures of Fashion-MNIST, every class in equal number.

    python data/build_fashion.py                  fetches Debian's package dataset-fashion-mnist (needs apt-get, dpkg)
    python data/build_fashion.py --files FOLDER   takes the four original files (.gz or unpacked) from a folder

Needs numpy. The pictures are drawn with a fixed seed and keep the original's order.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import tempfile
from pathlib import Path

import numpy as np

NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def fetch(folder: Path) -> Path:
    subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=folder, check=True)
    (package,) = folder.glob("dataset-fashion-mnist_*.deb")
    subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
    return folder / "usr/share/datasets/fashion-mnist"


def read(folder: Path, name: str) -> np.ndarray:
    """One IDX file of bytes: two zeros, the type (8), the number of axes, the axes' lengths, the values."""
    packed = folder / f"{name}.gz"
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    n_axes = raw[3]
    shape = np.frombuffer(raw, ">i4", n_axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def choose(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n indices, n / 10 of every class, in ascending order."""
    random = np.random.default_rng(seed)
    chosen = [random.choice(np.flatnonzero(labels == label), n // 10, replace=False) for label in range(10)]
    return np.sort(np.concatenate(chosen))


def build(folder: Path) -> dict[str, np.ndarray]:
    content = {"names": np.array(NAMES)}
    for part, prefix, n in (("train", "train", 10_000), ("test", "t10k", 2_000)):
        images, labels = read(folder, f"{prefix}-images-idx3-ubyte"), read(folder, f"{prefix}-labels-idx1-ubyte")
        index = choose(labels, n, seed=0)
        content |= {f"{part}_images": images[index], f"{part}_labels": labels[index]}
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, help="folder with the four files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fashion.npz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        content = build(args.files or fetch(Path(scratch)))
    np.savez_compressed(args.out, **content)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
