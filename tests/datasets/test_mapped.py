"""Pictures that stay on disk: a view of the file, split at its end, and never written to."""

import numpy as np
import pytest
import torch

from sslkit import datasets
from sslkit.datasets import _images, _mapped, mapped


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "many.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (200, 3, 8, 8), dtype=np.uint8))
    return path


def test_it_is_a_view_in_the_order_of_the_file(file):
    data = mapped(file, torch.arange(200) % 4, names=tuple("abcd"), val=0.1, test=0.05)
    assert (len(data.train), len(data.val), len(data.test)) == (170, 20, 10)
    assert data.train.images.data_ptr() == data.images.data_ptr()
    assert data.test.images.data_ptr() == data.images[190:].data_ptr()
    assert torch.equal(data.images, torch.from_numpy(np.load(file)))
    assert data.name == "many"
    assert torch.equal(data.val.labels, torch.arange(170, 190) % 4)


@pytest.mark.parametrize(
    ("n", "val", "test"), [(3, 0.0, 0.0), (10, 0.5, 0.0), (10, 0.0, 0.3), (7, 0.2, 0.2), (2, 0.4, 0.4)]
)
def test_every_split_has_its_share_to_one_picture(tmp_path, n, val, test):
    np.save(tmp_path / "few.npy", np.zeros((n, 1, 4, 4), np.uint8))
    data = mapped(tmp_path / "few.npy", val=val, test=test)
    assert abs(len(data.val) - val * n) <= 1
    assert abs(len(data.test) - test * n) <= 1
    assert len(data.train) >= 1
    assert data.split.diff().ge(0).all()


def test_load_knows_it_by_its_name(file):
    assert datasets.load(file).fingerprint() == datasets.load(str(file)).fingerprint() == mapped(file).fingerprint()


def test_writing_does_not_reach_the_file(file):
    before = file.read_bytes()
    mapped(file).images[0] = 7
    assert file.read_bytes() == before


def test_read_only_where_memory_could_not_hold_a_copy(file, monkeypatch, recwarn):
    """Linux refuses a copy-on-write map that is larger than memory; the array is then read-only, without a warning."""
    modes, load = [], np.load

    def refuse(path, mmap_mode):
        modes.append(mmap_mode)
        if mmap_mode == "c":
            raise OSError(12, "Cannot allocate memory")
        return load(path, mmap_mode=mmap_mode)

    monkeypatch.setattr(_mapped.np, "load", refuse)
    assert len(mapped(file)) == 200
    assert modes == ["c", "r"]
    assert not recwarn.list


def test_the_fingerprint_of_very_many_pictures_reads_some(file, monkeypatch):
    whole = mapped(file).fingerprint()
    monkeypatch.setattr(_images, "GIGABYTE", 5000)  # 38,400 bytes of pixels: every eighth picture
    some = mapped(file)
    assert some.fingerprint() != whole
    other = mapped(file)
    other.images[8] += 1
    assert other.fingerprint() != some.fingerprint()
    other.images[8] -= 1
    other.images[9] += 1
    assert other.fingerprint() == some.fingerprint()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"no array", {}, r"many\.npy is not an \.npy file of plain numbers"),
        (np.zeros((4, 3, 8, 8)), {}, "images must be a uint8 tensor"),
        (np.zeros((4, 8, 8), np.uint8), {}, "images must be a uint8 tensor"),
        (np.zeros((4, 3, 8, 8), np.uint8), {"val": 0.6, "test": 0.4}, "val and test are shares that leave something"),
        (np.zeros((4, 3, 8, 8), np.uint8), {"labels": [0, 1]}, r"labels have shape \(2,\), but there are 4 images"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path, content, options, message):
    path = tmp_path / "many.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(ValueError, match=message):
        mapped(path, **options)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.npy\."):
        mapped(tmp_path / "none.npy")


def test_labels_are_those_of_arrays(file):
    data = mapped(file, ["dog", "cat"] * 100)
    assert (data.names, data.labels[:2].tolist()) == (("cat", "dog"), [1, 0])
    with pytest.raises(TypeError, match="labels must be integers or strings, but they are float"):
        mapped(file, [0.5] * 200)
