"""The sets that come along: what is in them, nothing leaks, licences lie beside them, they can be built again."""

import gzip
import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslkit import datasets
from sslkit.datasets import Images, _embedded, load

DATA = Path(__file__).parents[2] / "data"
ARTISTS = ("noto", "twemoji", "fluent 3d", "fluent flat")


def script(name):
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- names


def test_every_offline_name_loads_and_a_typo_gets_a_suggestion():
    for name in ("emoji", "fashion", "digits"):
        data = load(name)
        assert isinstance(data, Images)
        assert data.name == name
        assert data.images.is_contiguous()
        assert load(name).fingerprint() == data.fingerprint()
        assert not torch.equal(load(name, seed=1).split, data.split)
    with pytest.raises(ValueError, match=r"Unknown data set 'shape'. Did you mean 'shapes'\?"):
        load("shape")
    assert {"shapes", "emoji", "fashion", "digits", "cifar10", "stl10"} <= set(datasets.NAMES)


def test_importing_the_sets_loads_no_heavy_library():
    code = (
        "import sys, sslkit.datasets as d; d.load('emoji'); d.shapes(8); "
        "print([m for m in ('torchvision', 'PIL', 'sklearn', 'matplotlib', 'ipywidgets') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_missing_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(_embedded, "FOLDERS", (tmp_path, tmp_path / "data"))
    with pytest.raises(
        FileNotFoundError, match=r"emoji.npz is neither in .*install sslkit again, or run data/build_emoji"
    ):
        load("emoji")
    np.savez(tmp_path / "emoji.npz", images=1)
    assert "images" in _embedded._open("emoji")  # the wheel's place comes first


# ---- emoji


def test_emoji_is_what_it_says():
    data = load("emoji")
    assert data.images.shape == (6986, 4, 32, 32)
    assert (len(data.names), len(data.factor_names["subgroup"]), len(data.group_names)) == (10, 99, 1911)
    assert data.factor_names["artist"] == ARTISTS
    assert data.factors["artist"].bincount().tolist() == [1911, 1911, 1570, 1594]
    pairs = torch.stack([data.groups, data.factors["artist"]], 1)
    assert len(pairs.unique(dim=0)) == len(data)  # nobody draws a concept twice
    assert len(set(data.group_names)) > 1900
    concept = data.group_names.index("grinning face")
    assert data.names[data.labels[data.groups == concept][0]] == "Smileys & Emotion"
    assert (data.groups == concept).sum() == 4


def test_emoji_labels_belong_to_concepts_and_concepts_to_one_split():
    data = load("emoji", seed=7)
    parts = [set(part.groups.tolist()) for part in (data.train, data.val, data.test)]
    assert [len(part) for part in parts] == [1242, 191, 478]
    assert len(set.union(*parts)) == 1911
    for values in (data.labels, data.factors["subgroup"]):
        assert len(torch.stack([data.groups, values], 1).unique(dim=0)) == 1911
    # Every group of concepts has its quarter in the test split; one or two units of rounding.
    group_of = torch.zeros(1911).long().scatter(0, data.groups, data.labels)
    held_out = torch.zeros(1911).index_fill(0, data.test.groups, 1)
    for group in range(10):
        members = group_of == group
        assert abs(held_out[members].sum() - members.sum() / 4) <= 3


def test_emoji_is_transparent_around_and_hides_no_colour():
    images = load("emoji").images
    alpha = images[:, 3:]
    assert (alpha == 0).flatten(1).any(1).float().mean() > 0.95
    assert (alpha == 255).flatten(1).any(1).float().mean() > 0.95
    assert (images[:, :3] * (alpha == 0) == 0).all()


def test_emoji_has_no_flag_that_microsoft_did_not_draw():
    """The npm package of the 3D drawings adds flags of other origin, near copies of Noto's: they must stay out."""
    data = load("emoji")
    country = data.factors["subgroup"] == data.factor_names["subgroup"].index("country-flag")
    assert set(data.factors["artist"][country].tolist()) == {0, 1}


# ---- words


def test_words_belong_to_the_concepts_of_emoji():
    words, names = datasets.emoji_words(), load("emoji").group_names
    assert len(words) == len(names) == 1911
    assert [names[i] for i, text in enumerate(words) if not text] == [n for n in names if "fitzpatrick" in n]
    assert "smile" in words[names.index("grinning face")].split()
    named = lambda shift: np.mean([bool({*words[i - shift].split()} & {*names[i].split()}) for i in range(1911)])
    assert named(0) > 0.8  # older names have words that the library has dropped
    assert named(0) > named(1) + 0.2
    for text in words:
        assert text == text.lower()
        assert len(set(text.split())) == len(text.split())


def test_the_words_script_splits_names_and_leaves_signs_out():
    build = script("build_words")
    assert build.words(["flag_st_lucia", "St. Lucia", ":D", "XD", "won't", ":)", "1", "e-mail"]) == (
        ["flag", "st", "lucia", "xd", "won't", "1", "e", "mail"]
    )
    library = {"\u2764\ufe0f": ["red_heart", "love"], "\U0001f600": ["grinning_face"]}
    assert build.build(["1F600", "2764-FE0F", "1F3FB"], library) == ["grinning face", "red heart love", ""]


# ---- fashion and digits


def test_fashion_is_balanced_and_keeps_the_official_test_part():
    data = load("fashion")
    assert data.images.shape == (12_000, 1, 28, 28)
    assert [len(part) for part in (data.train, data.val, data.test)] == [8750, 1250, 2000]
    for part in (data.train, data.val, data.test):
        assert part.labels.bincount().unique().tolist() == [len(part) // 10]
    assert data.names[9] == "ankle boot"
    assert torch.equal(load("fashion", seed=3).test.images, data.test.images)
    assert len(data.images.flatten(1).unique(dim=0)) > 11_990


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data = load("digits")
    assert data.images.shape == (1797, 1, 8, 8)
    np.testing.assert_allclose(data.images[:, 0].numpy() / 255 * 16, load_digits().images, atol=0.5 / 255 * 16 + 1e-6)
    assert data.labels.tolist() == load_digits().target.tolist()


# ---- licences and size


def test_the_embedded_data_is_small_and_licensed():
    files = list(DATA.glob("*.npz"))
    assert {file.name for file in files} == {"emoji.npz", "fashion.npz", "words.npz"}
    assert sum(file.stat().st_size for file in files) <= 16e6
    licences = {file.stem: file.read_text() for file in (DATA / "LICENSES").glob("*.txt")}
    assert "Apache License" in licences["noto-emoji"]
    assert "Attribution 4.0 International" in licences["twemoji"]
    assert "Graphics (c) Twitter, Inc and other contributors, licensed under CC-BY 4.0" in licences["twemoji"]
    assert "scaled to 32 x 32" in licences["twemoji"]
    for name, owner in (
        ("fluent-emoji", "Microsoft"),
        ("fashion-mnist", "Zalando"),
        ("emoji-data", "Cal Henderson"),
        ("emojilib", "Mu-An Chiou"),
    ):
        assert "Permission is hereby granted, free of charge" in licences[name]
        assert owner in licences[name]
    readme = (DATA / "README.md").read_text()
    for name in licences:
        assert f"LICENSES/{name}.txt" in readme


# ---- the scripts that made them


def test_the_fashion_script_chooses_by_class_from_the_original_files(tmp_path):
    build = script("build_fashion")
    random = np.random.default_rng(0)
    for prefix, n in (("train", 12_000), ("t10k", 3_000)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = labels
        head = bytes([0, 0, 8])
        images_file = head + bytes([3]) + np.array(images.shape, ">i4").tobytes() + images.tobytes()
        labels_file = head + bytes([1]) + np.array(labels.shape, ">i4").tobytes() + labels.tobytes()
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images_file))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(labels_file)  # one packed, one unpacked
    content = build.build(tmp_path)
    for part, n in (("train", 10_000), ("test", 2_000)):
        images, labels = content[f"{part}_images"], content[f"{part}_labels"]
        assert images.shape == (n, 28, 28)
        assert np.bincount(labels).tolist() == [n // 10] * 10
        assert (images[:, 0, 0] == labels).all()
        assert len(np.unique(images.reshape(n, -1), axis=0)) == n


def test_the_emoji_script_shrinks_by_area_and_premultiplied(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", types.ModuleType("resvg_py"))
    build = script("build_emoji")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (64, 64, 4), dtype=np.uint8)
    pixels[..., 3] = random.choice([0, 255], (64, 64))
    got = build.shrink(Image.fromarray(pixels)).astype(float)
    blocks = (
        pixels.astype(float).reshape(32, 2, 32, 2, 4).swapaxes(1, 2).reshape(32, 32, 4, 4)
    )  # (32, 32, 4 pixels, RGBA)
    weight = blocks[..., 3:] / 255
    alpha = weight.mean(2)[..., 0] * 255
    colour = (blocks[..., :3] * weight).sum(2) / np.maximum(weight.sum(2), 1e-9)
    np.testing.assert_allclose(got[..., 3], alpha, atol=1)
    seen = alpha > 0
    np.testing.assert_allclose(got[..., :3][seen], colour[seen], atol=5)  # premultiplied bytes at alpha 64 keep 6 bits
    assert (got[~seen] == 0).all()
    assert build.shrink(Image.new("RGB", (20, 60), "red"))[16, [0, 16, 31]].tolist() == [
        [0, 0, 0, 0],
        [255, 0, 0, 255],
        [0, 0, 0, 0],
    ]
