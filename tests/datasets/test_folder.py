"""`folder`: whatever lies in it, good pictures come out right, and broken ones are counted."""

import os
import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from sslkit.datasets import _cache, folder, load
from sslkit.datasets._cache import square


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("cache") / "deep" / "er"
    monkeypatch.setenv("SSLKIT_CACHE", str(place))
    return place


def flat(colour, size=(8, 8), mode="RGB"):
    return Image.new(mode, size, colour)


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


@pytest.fixture
def pets(tmp_path):
    """Twelve cats in reds, eight dogs in blues, nested and with names of all kinds."""
    root = tmp_path / "pets"
    for i in range(12):
        save(root / "cat" / f"kätzchen {i} 猫.png", flat((200, i, 0)))
    for i in range(8):
        save(root / "dog" / "old" / "er" / f"{i}.bmp", flat((0, i, 200)))
    return root


def test_pictures_labels_and_names(pets):
    data = folder(pets, size=4)
    assert data.name == "pets"
    assert data.names == ("cat", "dog")
    assert data.shape == (3, 4, 4)
    assert data.labels.bincount().tolist() == [12, 8]
    assert torch.equal((data.images[:, 0, 0, 0] == 200).long(), 1 - data.labels)
    assert sorted(data.images[data.labels == 0][:, 1, 0, 0].tolist()) == list(range(12))
    assert load(str(pets), size=4).fingerprint() == data.fingerprint()


def test_it_is_mapped_from_disk_in_the_order_of_its_split(pets):
    data = folder(pets, size=4)
    assert data.split.tolist() == sorted(data.split.tolist())
    assert [len(data.train), len(data.val), len(data.test)] == [16, 2, 2]
    assert data.train.images.data_ptr() == data.images.data_ptr()
    assert not np.array_equal(folder(pets, size=4, seed=1).train.images, data.train.images)


def test_without_sub_folders_there_are_no_labels(pets):
    save(pets / "stray.png", flat("green"))
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match=r"1 of 21 files in .*pets lie in no sub-folder.*no labels: stray\.png"):
            assert folder(pets, size=4).labels is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no sub-folders at all: nobody meant classes
        assert folder(pets / "cat", size=4).labels is None


def test_groups_share_a_split_and_are_named(pets):
    save(pets / "cat" / "burst_b_0.txt.png", flat("red"))
    (pets / "cat" / "burst_b_1.png").write_text("not a picture")
    thirds = lambda file: f"{file.parts[0]} {int(file.stem.split()[1]) // 3}" if " " in file.stem else file.stem
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match="1 of 22 files"):
            data = folder(pets, size=4, groups=thirds, val=0.2, test=0.2)
        assert set(data.group_names) == {f"cat {i}" for i in range(4)} | set("01234567") | {"burst_b_0.txt"}
        assert all(len(data.split[data.groups == group].unique()) == 1 for group in data.groups.unique())
        for i in range(4):
            burst = data.groups == data.group_names.index(f"cat {i}")
            assert sorted(data.images[burst][:, 1, 0, 0].tolist()) == [3 * i, 3 * i + 1, 3 * i + 2]
    with pytest.warns(UserWarning, match="1 of 22 files"):
        files = folder(pets, size=4, groups=str)
    number = files.group_names.index(os.path.join("cat", "kätzchen 7 猫.png"))
    assert files.images[files.groups == number][0, 1, 0, 0] == 7


def test_links_to_folders_are_followed_once(pets, tmp_path):
    root = tmp_path / "links"
    root.mkdir()
    for kind in ("cat", "dog"):
        (root / kind).symlink_to(pets / kind, target_is_directory=True)
    (pets / "dog" / "loop").symlink_to(pets / "dog", target_is_directory=True)
    data = folder(root, size=4)
    assert (data.names, len(data)) == (("cat", "dog"), 20)


def test_numbers_without_a_known_white_are_left_out_and_named(tmp_path):
    """Else they would be pictures without a picture: black."""
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    for name, numbers in {
        "float": ramp.astype(np.float32),
        "huge": (ramp * 2**31 - 1).astype(np.int32),
        "8 of 32 bits": (255 * ramp).astype(np.int32),
        "16 of 32 bits": (65535 * ramp).astype(np.int32),
    }.items():
        Image.fromarray(numbers).save(tmp_path / f"{name}.tiff")
    with pytest.warns(UserWarning, match=r"2 of 4 files .* are no readable pictures: float\.tiff, huge\.tiff"):
        data = folder(tmp_path, size=8)
    assert len(data) == 2
    assert (data.images.amax((1, 2, 3)) > 250).all()


def test_twelve_bits_in_sixteen_are_pointed_out(tmp_path):
    """Microscopes and X-ray detectors write them; 4,095 of 65,535 is nearly black."""
    for i in range(4):
        Image.fromarray(np.full((8, 8), 4000 + i, dtype=np.uint16)).save(tmp_path / f"{i}.png")
    with pytest.warns(UserWarning, match="use 12 of them or fewer look nearly black"):
        assert folder(tmp_path, size=8).images.max() == 15


def test_groups_that_are_no_function_are_refused(pets):
    with pytest.raises(TypeError, match=r"^groups is a list; give a function of a picture's path, or use .*arrays\.$"):
        folder(pets, groups=[0, 1])


def test_broken_files_are_left_out_counted_and_listed(pets):
    (pets / "cat" / "notes.txt").write_text("not a picture")
    (pets / "cat" / "text.png").write_text("not a picture either")
    (pets / "dog" / "empty.jpg").touch()
    save(pets / "dog" / "whole.jpg", flat("red", (64, 64)))
    whole = (pets / "dog" / "whole.jpg").read_bytes()
    (pets / "dog" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (pets / "dog" / "whole.jpg").unlink()
    (pets / ".hidden").mkdir()
    (pets / ".hidden" / "thumb.png").write_text("passed over in silence")
    (pets / "cat" / ".DS_Store").write_text("passed over in silence")
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match="4 of 24 files in .*pets are no readable pictures") as caught:
            data = folder(pets, size=4)
        assert len(data) == 20
        assert data.labels.bincount().tolist() == [12, 8]
        for name in ("notes.txt", "text.png", "empty.jpg", "half.jpg"):
            assert name in str(caught[0].message)
        assert caught[0].filename == __file__  # the warning points at the caller


def test_a_long_list_of_broken_files_is_cut(tmp_path):
    save(tmp_path / "good.png", flat("red"))
    for i in range(15):
        (tmp_path / f"bad{i:02}.png").touch()
    with pytest.warns(UserWarning, match="15 of 16 files .*bad09.png and 5 more"):
        assert len(folder(tmp_path)) == 1


def test_wrong_places_are_named(tmp_path, pets, cache):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There is no folder pics/nowhere"):
        load("pics/nowhere")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"The folder .*empty is empty"):
        folder(tmp_path / "empty")
    (tmp_path / "empty" / "a.png").touch()
    (tmp_path / "empty" / "b.txt").touch()
    with pytest.raises(ValueError, match=r"None of the 2 files in .*empty is a picture"):
        folder(tmp_path / "empty")
    with pytest.raises(NotADirectoryError, match="is a file"):
        folder(tmp_path / "empty" / "b.txt")
    for size in (0, 16.5, (32, 32)):
        with pytest.raises(ValueError, match=re.escape(f"a whole number of at least 4, but {size=}")):
            folder(pets, size=size)
    assert not cache.exists() or not list(cache.iterdir())  # nothing half-written


# ---- the cache


def count_decodes(monkeypatch):
    calls = []
    from sslkit.datasets import _folder

    monkeypatch.setattr(_folder, "square", lambda *args: calls.append(1) or square(*args))
    return calls


def test_the_cache_is_used_until_something_changes(pets, monkeypatch):
    calls = count_decodes(monkeypatch)

    def decodes():
        before = len(calls)
        return folder(pets, size=4), len(calls) - before

    first, n = decodes()
    assert n == 20
    assert decodes()[1] == 0
    save(pets / "cat" / "new.png", flat("red"))
    assert decodes()[1] == 21
    (pets / "cat" / "new.png").rename(pets / "cat" / "newer.png")
    assert decodes()[1] == 21
    (pets / "cat" / "newer.png").unlink()
    second, n = decodes()
    assert n == 0  # everything as it was at first
    assert second.fingerprint() == first.fingerprint()
    victim = pets / "dog" / "old" / "er" / "3.bmp"
    stat = victim.stat()
    save(victim, flat((9, 9, 9)))  # same name, same length
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    third, n = decodes()
    assert n == 20
    assert third.fingerprint() != first.fingerprint()


def test_an_interrupted_build_leaves_nothing_and_is_repeated(pets, cache, monkeypatch):
    seen = []

    def interrupted(*args):
        if len(seen) == 10:
            raise KeyboardInterrupt
        seen.append(1)
        return square(*args)

    with monkeypatch.context() as patch:
        patch.setattr("sslkit.datasets._folder.square", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder(pets, size=4)
    assert list(cache.iterdir()) == []
    assert len(folder(pets, size=4)) == 20


def test_a_full_disk_or_a_locked_cache_is_one_sentence(pets, cache, monkeypatch, tmp_path):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_cache.np.lib.format, "write_array_header_1_0", full)
        with pytest.raises(
            OSError, match=r"cannot be written \(No space left on device\): make room, or set SSLKIT_CACHE"
        ):
            folder(pets, size=4)
    assert list(cache.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSLKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set SSLKIT_CACHE to another folder"):
        folder(pets, size=4)


def test_another_process_may_be_faster(pets, cache, monkeypatch):
    write = _cache._write

    def slow(new, *args):
        monkeypatch.setattr(_cache, "_write", write)
        folder(pets, size=4)  # the other process finishes first
        write(new, *args)

    monkeypatch.setattr(_cache, "_write", slow)
    assert len(folder(pets, size=4)) == 20
    assert len(list(cache.iterdir())) == 1


# ---- one picture


def test_the_middle_square_is_kept():
    wide = Image.new("RGB", (30, 10), "red")
    wide.paste("blue", (10, 0, 20, 10))
    for picture in (wide, wide.transpose(Image.Transpose.ROTATE_90)):
        pixels = square(picture, 10)
        assert pixels.shape == (4, 10, 10)
        assert (pixels.transpose(1, 2, 0) == (0, 0, 255, 255)).all()


def test_pictures_are_turned_upright(tmp_path):
    picture = Image.new("RGB", (8, 8), "black")
    picture.paste("white", (0, 0, 8, 4))  # upper half white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    save(tmp_path / "turned.png", picture, exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        pixels = square(turned, 8)[0]
    assert (pixels[:, 4:] == 255).all()
    assert (pixels[:, :4] == 0).all()


def test_shrinking_averages_instead_of_picking():
    checks = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    assert abs(square(checks, 8)[0].astype(int) - 127).max() <= 2


def test_transparent_black_does_not_darken_edges():
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 29, 64))
    pixels = square(picture, 8)
    assert (pixels[:3][:, pixels[3] > 8] >= 250).all()


@pytest.mark.parametrize(
    ("picture", "name", "expected"),
    [
        (flat((250, 128, 3)), "a.png", (250, 128, 3, 255)),
        (flat(77, mode="L"), "a.png", (77, 77, 77, 255)),
        (flat((77, 128), mode="LA"), "a.png", (77, 77, 77, 128)),
        (flat((9, 8, 7, 128), mode="RGBA"), "a.webp", None),
        (flat(1, mode="1"), "a.png", (255, 255, 255, 255)),
        (flat(77 * 256 + 13, mode="I;16"), "a.png", (77, 77, 77, 255)),
        (flat((0, 255, 255, 0), mode="CMYK"), "a.tif", (255, 0, 0, 255)),
        (flat((255, 0, 0)).convert("P"), "a.gif", (255, 0, 0, 255)),
        (flat((0, 255, 0)), "a.ppm", (0, 255, 0, 255)),
    ],
)
def test_every_mode_and_format_becomes_rgba(tmp_path, picture, name, expected):
    picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    with Image.open(tmp_path / name) as opened:
        pixels = square(opened, 4)
    expected = expected or picture.convert("RGBA").getpixel((0, 0))
    assert np.abs(pixels.reshape(4, -1).T.astype(int) - expected).max() <= 1


def test_channels_follow_the_pictures(tmp_path):
    def channels(*pictures):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for i, picture in enumerate(pictures):
            save(root / f"{i}.png", picture)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return folder(root).shape[0]

    grey, red, clear = flat(9, mode="L"), flat("red"), flat((1, 1, 1, 9), mode="RGBA")
    assert channels(grey, grey) == 1
    assert channels(grey, flat((5, 5, 5))) == 1  # grey that is stored as colour
    assert channels(grey, red) == 3
    assert channels(red, flat((1, 2, 3, 255), mode="RGBA")) == 3  # nothing to see through
    assert channels(red, grey, clear) == 4


def test_folders_that_are_called_like_splits_are_pointed_out(tmp_path):
    for part in ("train", "val", "test"):
        for kind in ("cat", "dog"):
            save(tmp_path / "set" / part / kind / "0.png", flat("red"))
    with pytest.warns(UserWarning, match="are called test, train, val, like splits, but now they are the classes"):
        folder(tmp_path / "set")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folder(tmp_path / "set" / "train").names == ("cat", "dog")
