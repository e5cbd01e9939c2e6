"""Build data/words.npz: what people call the 1,911 concepts of emoji.npz, a name and some keywords each.

    python data/build_words.py                     fetches one npm package (53 kB) with `npm pack`
    python data/build_words.py --packages FOLDER   takes the same .tgz file from a folder

Needs npm, and from PyPI numpy. Takes a second. Run it after build_emoji.py: the concepts, their order and their code
points are those of emoji.npz.

The words are written small and split at everything that is no letter, digit or apostrophe. Smileys such as ":D" are left
out, and so is a word that one concept has twice. Nothing else: which words give a group away is for the lesson to decide.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NAME, VERSION = "emojilib", "4.0.3"


def unpack(folder: Path) -> dict[str, list[str]]:
    """{emoji: its name and keywords}, from the npm package; fetched if the archive is not in the folder."""
    archive = folder / f"{NAME}-{VERSION}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"{NAME}@{VERSION}"], cwd=folder, check=True)
    with tarfile.open(archive) as files:
        return json.load(files.extractfile("package/dist/emoji-en-US.json"))


def key(emoji: str) -> str:
    """What both packages write for the same concept: without the 'show as a picture' mark."""
    return emoji.replace("\ufe0f", "")


def words(phrases: list[str]) -> list[str]:
    """The words of a name and its keywords, small, in their order, each once."""
    written = " ".join(phrase for phrase in phrases if re.search(r"\w\w|^\w$", phrase))  # not ":D"
    return list(dict.fromkeys(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", written.lower())))


def build(codes: list[str], library: dict[str, list[str]]) -> list[str]:
    """The words of each concept, with spaces between; "" for the five skin tones, which the library leaves out."""
    library = {key(emoji): phrases for emoji, phrases in library.items()}
    emojis = ["".join(chr(int(point, 16)) for point in code.split("-")) for code in codes]
    return [" ".join(words(library.get(key(emoji), []))) for emoji in emojis]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder with the .tgz file of the npm package")
    parser.add_argument("--out", type=Path, default=HERE / "words.npz")
    args = parser.parse_args()
    with np.load(HERE / "emoji.npz") as file, tempfile.TemporaryDirectory() as scratch:
        content = build(file["concept_codes"].tolist(), unpack(args.packages or Path(scratch)))
    np.savez_compressed(args.out, words=np.array(content))
    print(f"{args.out}: {len(content):,} concepts, {args.out.stat().st_size / 1e3:.0f} kB")
