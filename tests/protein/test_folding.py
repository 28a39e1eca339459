"""The plug-in that folds: what programs are given, which of their files are read, and what is said without one."""

import os

import pytest

from domains.protein.folding import fold, folding_program
from seqdiff.errors import ConfigError

ATOM = "ATOM      1  CA  ALA A{0:4d}    {1:8.3f}{1:8.3f}{1:8.3f}  1.00{2:6.2f}           C\n"


@pytest.fixture
def path(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    return tmp_path / "bin"


def program(folder, name, body):
    (folder / name).write_text("#!/bin/sh\n" + body)
    os.chmod(folder / name, 0o755)


def test_without_a_program(path):
    with pytest.raises(ConfigError, match="expected one of esm-fold, colabfold_batch on the path, found none; install one"):
        folding_program()


def test_esm_fold(path, tmp_path):
    """Two designs; the first has two chains, which are handed over as one complex."""
    for i, values in enumerate([(90, 70), (40, 60, 80)], 1):
        text = "".join(ATOM.format(k, 3.8 * k, value) for k, value in enumerate(values, 1))
        (tmp_path / f"{i}.pdb").write_text(text)
    checks = '[ "$1" = -i ] && [ "$3" = -o ] && grep -q "^MK:LA$" "$2" || exit 3\n'
    program(path, "esm-fold", checks + "".join(f'cp {tmp_path}/{i}.pdb "$4/design-{i}.pdb"\n' for i in (1, 2)))
    found = fold(["MK/LA", "MKV"], tmp_path / "out")
    assert [one.confidence for one in found] == [(90, 70), (40, 60, 80)] and [one.plddt for one in found] == [80, 60]
    assert [one.path.name for one in found] == ["design-1.pdb", "design-2.pdb"] and found[0].path.is_file()
    with pytest.raises(ConfigError, match="esm-fold failed with status 3"):
        fold(["MKV"])


def test_colabfold_and_its_ranks(path, tmp_path):
    """Shares are read as percent; other ranks and other designs (1 and 10) are left alone."""
    (tmp_path / "good.pdb").write_text(ATOM.format(1, 1.0, 0.9))
    (tmp_path / "bad.pdb").write_text(ATOM.format(1, 1.0, 0.1))
    names = {"design-1_unrelaxed_rank_001_alphafold2_model_3": "good", "design-1_unrelaxed_rank_002_model_1": "bad"}
    names |= {"design-10_unrelaxed_rank_001_model_1": "bad"}
    copies = "".join(f'cp {tmp_path}/{kind}.pdb "$2/{name}.pdb"\n' for name, kind in names.items())
    program(path, "colabfold_batch", '[ -f "$1" ] || exit 1\n' + copies)
    assert fold(["M"])[0].plddt == pytest.approx(90)
    with pytest.raises(ConfigError, match="colabfold_batch wrote no structure of design-2"):
        fold(["M", "K"])
