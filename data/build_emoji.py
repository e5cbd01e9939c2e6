"""Build data/emoji.npz: the same 1,911 concepts drawn by two to four artists, 32 x 32 RGBA.

    python data/build_emoji.py                     fetches four npm packages (about 150 MB) with `npm pack`
    python data/build_emoji.py --packages FOLDER   takes the same .tgz files from a folder

Needs npm, and from PyPI numpy, pillow and resvg-py (which renders SVG). Takes about two minutes.

What is left out, and why:
- Apple's and Facebook's drawings, which are in the same packages: their licences do not allow it.
- Skin-tone variants: they repeat the drawing of their concept.
- From the Fluent packages everything that Microsoft's own release (the flat set) does not contain. The 3D package adds
  245 national flags and 36 families, which are not Microsoft's drawings; their origin is not stated.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

SIZE = 32
PACKAGES = {
    "noto": ("emoji-datasource-google", "16.0.0"),
    "twemoji": ("emoji-datasource-twitter", "16.0.0"),
    "fluent 3d": ("@lobehub/fluent-emoji-3d", "1.1.0"),
    "fluent flat": ("@iconify-json/fluent-emoji-flat", "1.2.6"),
}
ARTISTS = tuple(PACKAGES)


def unpack(artist: str, folder: Path) -> dict[str, bytes]:
    """The files of the artist's npm package, by path; fetched if the archive is not in the folder."""
    name, version = PACKAGES[artist]
    archive = folder / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True)
    wanted = ("emoji.json", "chars.json", "icons.json", ".webp")
    with tarfile.open(archive) as files:
        return {
            member.name.removeprefix("package/"): files.extractfile(member).read()
            for member in files
            if member.name.endswith(wanted) or "/64/" in member.name
        }


def key(code: str) -> str:
    """Code points as all packages can agree on: lower case, without the 'show as a picture' mark."""
    return code.lower().replace("-fe0f", "")


def shrink(picture: Image.Image) -> np.ndarray:
    """(SIZE, SIZE, 4) uint8, centred on a square. Every pixel becomes the mean of the area it covers.

    All sources are 2 or 8 times as large, so the area is exact. Pillow resizes RGBA with premultiplied alpha, so that
    invisible black does not darken the edges.
    """
    picture = picture.convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    pixels = np.array(square.resize((SIZE, SIZE), Image.Resampling.BOX))
    pixels[pixels[..., 3] == 0] = 0  # unseen colours would only cost space
    return pixels


def open_picture(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file))


def render(icon: dict, side: int = 256) -> Image.Image:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{icon["body"]}</svg>'
    return open_picture(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side)))


def build(folder: Path) -> dict[str, np.ndarray]:
    noto, twemoji, fluent_3d, fluent_flat = (unpack(artist, folder) for artist in ARTISTS)
    concepts = sorted(json.loads(noto["emoji.json"]), key=lambda concept: concept["sort_order"])
    icons = json.loads(fluent_flat["icons.json"])["icons"]
    flat = {key(code): icons[name] for code, name in json.loads(fluent_flat["chars.json"]).items() if name in icons}
    solid = {key(Path(path).stem): file for path, file in fluent_3d.items() if path.endswith(".webp")}

    images, owners, artists = [], [], []
    for number, concept in enumerate(concepts):
        code, file = key(concept["unified"]), concept["image"]
        drawings = {
            "noto": open_picture(noto[f"img/google/64/{file}"]),
            "twemoji": open_picture(twemoji[f"img/twitter/64/{file}"]),
        }
        if code in flat:
            drawings |= {"fluent 3d": open_picture(solid[code])} if code in solid else {}
            drawings |= {"fluent flat": render(flat[code])}
        for artist, drawing in drawings.items():
            images.append(shrink(drawing))
            owners.append(number)
            artists.append(ARTISTS.index(artist))

    names = [name.lower() if name.isupper() else name for name in (concept["name"] for concept in concepts)]
    groups = sorted({concept["category"] for concept in concepts})
    subgroups = sorted({concept["subcategory"] for concept in concepts})
    return {
        "images": np.stack(images),  # (N, SIZE, SIZE, 4): pixel by pixel packs better than plane by plane
        "concept": np.array(owners, dtype=np.int16),
        "artist": np.array(artists, dtype=np.uint8),
        "group": np.array([groups.index(concept["category"]) for concept in concepts], dtype=np.uint8),  # by concept
        "subgroup": np.array([subgroups.index(concept["subcategory"]) for concept in concepts], dtype=np.uint8),
        "concept_names": np.array(names),
        "concept_words": np.array([" ".join(concept["short_names"]).replace("_", "-") for concept in concepts]),
        "concept_codes": np.array([concept["unified"] for concept in concepts]),
        "artist_names": np.array(ARTISTS),
        "group_names": np.array(groups),
        "subgroup_names": np.array(subgroups),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder with the .tgz files of the four npm packages")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "emoji.npz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        content = build(args.packages or Path(scratch))
    np.savez_compressed(args.out, **content)
    print(f"{args.out}: {len(content['images']):,} images, {args.out.stat().st_size / 1e6:.1f} MB")
