import hashlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from domains.novelty import Known, hash32
from seqdiff.errors import CheckpointError


def spread(n, seed=0):
    """n uniform hashes, as sha256 gives them."""
    return np.unique(np.random.default_rng(seed).integers(0, 2**32, n, dtype=np.uint32))


def test_the_hash_is_the_head_of_sha256():
    assert hash32("CCO") == int(hashlib.sha256(b"CCO").hexdigest()[:8], 16)


def test_members_are_found_and_others_are_not():
    known = Known.of(["CCO", "CC", "CCO", "c1ccccc1"])
    assert len(known) == 3
    assert all(smiles in known for smiles in ("CCO", "CC", "c1ccccc1"))
    assert "CCN" not in known and "" not in known
    assert "CCO" not in Known.of([])


def test_false_positives_are_as_rare_as_stated():
    known = Known(spread(2_000_000))
    queries = 100_000
    found = sum(f"new {i}" in known for i in range(queries))
    expected = queries * len(known) / 2**32  # 46.6
    assert abs(found - expected) < 5 * expected**0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=30), st.lists(st.integers(0, 200_000), max_size=30))
def test_reading_gives_what_was_written(tmp_path_factory, far, near):
    path = tmp_path_factory.mktemp("known") / "known.safetensors"
    known = Known(np.unique(np.array(far + near, dtype=np.uint32)))
    known.save(path)
    back = Known.load(path).hashes
    assert back.dtype == np.uint32 and np.array_equal(back, known.hashes)


@pytest.mark.parametrize("hashes", [[], [0], [2**32 - 1], [0, 2**32 - 1], [0, 65_535, 131_071], [65_536]])
def test_the_ends_of_the_range_are_kept(tmp_path, hashes):
    Known(np.array(hashes, dtype=np.uint32)).save(tmp_path / "known")
    assert Known.load(tmp_path / "known").hashes.tolist() == hashes


def test_half_a_million_take_a_megabyte(tmp_path):
    known = Known(spread(520_000))
    known.save(tmp_path / "deep" / "known.safetensors")
    assert (tmp_path / "deep" / "known.safetensors").stat().st_size < 1.05e6
    assert np.array_equal(Known.load(tmp_path / "deep" / "known.safetensors").hashes, known.hashes)


def test_no_flipped_bit_goes_unseen(tmp_path):
    path = tmp_path / "known.safetensors"
    Known(spread(5_000)).save(path)
    sound, rng = path.read_bytes(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(sound)
        # Half the flips fall into the header and the first steps.
        place = rng.randrange(300 if rng.random() < 0.5 else len(sound))
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            Known.load(path)


def test_errors_name_the_file_and_what_was_expected(tmp_path):
    with pytest.raises(CheckpointError, match="none.safetensors: expected the hashes .*No such file"):
        Known.load(tmp_path / "none.safetensors")
    path = tmp_path / "known.safetensors"
    path.write_bytes(b"not this")
    with pytest.raises(CheckpointError, match="known.safetensors: expected a safetensors file"):
        Known.load(path)
    path.write_bytes(save({"weights": np.zeros(3, dtype=np.float32)}))
    with pytest.raises(CheckpointError, match="expected the vectors steps .* got weights float32"):
        Known.load(path)
    wide = np.array([70_000], dtype=np.uint32)
    path.write_bytes(save({"steps": np.array([0, 0], np.uint16), "wide": wide, "sha256": np.zeros(32, np.uint8)}))
    with pytest.raises(CheckpointError, match="damaged: its 2 hashes"):
        Known.load(path)
