import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rdkit import Chem
from tiny_model import tiny_checkpoint

import apps.cli.models
from apps.cli.main import main
from domains.design import DesignSpec, design

TEMPLATE = "CC(=O)N{3-5}C"
KEYS = ["sequence", "canonical", "valid", "reason", "pins_kept", "pinned_atoms", "metrics", "certificate", "index"]
KEYS += ["template", "fields"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_checkpoint().save(folder, "# tiny\n")
    return str(folder)


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path):
    """Run a command line; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["seqdiff", *map(str, words)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return run


def refused(answer, *texts):
    status, out, err = answer
    assert (status, out) == (2, ""), (status, out, err)
    assert "Traceback" not in err
    for text in texts:
        assert text in err, err


def test_help_loads_nothing_heavy():
    code = (
        "import sys, apps.cli.main as m\n"
        "sys.argv = ['seqdiff', '--help']\n"
        "try:\n    m.main()\n"
        "except SystemExit as end:\n    status = end.code or 0\n"
        "heavy = {'torch', 'rdkit', 'numpy', 'matplotlib', 'networkx', 'safetensors'} & set(sys.modules)\n"
        "print('status', status, 'heavy', sorted(heavy))\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "status 0 heavy []"
    for command in ("design", "evaluate", "import", "optimise", "train", "models"):
        assert command in done.stdout


COMMANDS = (
    "design smiles", "design protein", "design text", "evaluate smiles", "evaluate protein", "evaluate text", "import esm",
    "import text",
    "optimise", "train", "serve", "workbench",
)  # fmt: skip


@pytest.mark.parametrize("command", [*COMMANDS, "models"])
def test_every_command_has_an_example(cli, command):
    status, out, _ = cli(*command.split(), "--help")
    assert status == 0
    assert f"Example: seqdiff {command}" in " ".join(out.replace("│", " ").split())


def test_a_command_runs_as_a_program_of_its_own(model, tmp_path):
    words = ["design", "smiles", TEMPLATE, "--model", model, "--n", "4", "--json"]
    root = Path(__file__).parents[1]
    program = [sys.executable, "-m", "apps.cli.main", *words]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, cwd=root, env=one_thread, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    made = design(DesignSpec("smiles", TEMPLATE, n=4, model=model))
    assert [item["sequence"] for item in answer["designs"]] == [item.sequence for item in made.designs]


def test_json_is_the_contract(cli, model):
    status, out, err = cli("design", "smiles", TEMPLATE, "--model", model, "--n", 6, "--seed", 3, "--json")
    assert status == 0 and "6/6" in err and out.endswith("}\n") and out.count("\n") == 1
    answer = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    keys = ["designs", "spec", "timing", "complete", "abstained", "lost", "summary"]
    assert list(answer) == keys and answer["complete"] is True
    assert DesignSpec.from_dict(answer["spec"]) == DesignSpec("smiles", TEMPLATE, n=6, seed=3, model=model)
    made = design(DesignSpec.from_dict(answer["spec"]))
    assert answer["designs"] == json.loads(json.dumps([item.to_dict() for item in made.designs]))
    for item in answer["designs"]:
        assert list(item) == KEYS and item["template"] == TEMPLATE
        assert item["sequence"].startswith("CC(=O)N") and item["sequence"].endswith("C") and type(item["valid"]) is bool
        assert {"novel", "tokens", "bound", "bound_error"} <= set(item["metrics"])
        assert ({"qed", "sa", "logp", "weight", "rings"} <= set(item["metrics"])) is item["valid"]
    assert any(item["valid"] for item in answer["designs"])
    assert set(answer["timing"]) == {"load_seconds", "design_seconds", "designs_per_second"}


def test_every_option_reaches_the_spec(cli, model):
    words = [
        "--n",
        "2",
        "--seed",
        "9",
        "--steps",
        "7",
        "--sampler",
        "confidence",
        "--class",
        "zinc",
        "--temperature",
        "0.5",
        "--top-p",
        "0.9",
        "--batch-size",
        "3",
    ]
    status, out, _ = cli("design", "smiles", "--model", model, *words, "--json")
    expected = DesignSpec("smiles", None, 2, 9, "confidence", 7, model, "zinc", 0.5, 0.9, 3)
    assert status == 0 and DesignSpec.from_dict(json.loads(out)["spec"]) == expected


JOINT = "[*:1]C(F)CC=O.[*:1]N(C)[*:2]"
TASK = ("--task", "joint", "--lengths", "1-2", "--templates", "2", "--n", "6")


def test_a_task_is_asked_for_by_name_and_drawn_in_the_command_or_in_a_file(cli, model, tmp_path):
    status, out, err = cli("design", "smiles", JOINT, *TASK, "--model", model, "--json")
    assert status == 0, err
    answer = json.loads(out)
    spec = DesignSpec("smiles", JOINT, n=6, model=model, syntax=True, task="joint", lengths=(1, 2), templates=2)
    assert DesignSpec.from_dict(answer["spec"]) == spec and answer["spec"]["lengths"] == [1, 2]
    made = design(spec)
    assert answer["designs"] == json.loads(json.dumps([item.to_dict() for item in made.designs])) != []
    assert len({item["template"] for item in answer["designs"]}) == 2 and answer["lost"] == {}
    (tmp_path / "drawn.smi").write_text(JOINT.replace(".", " first\n") + " second\n")
    again = cli("design", "smiles", "--source", "drawn.smi", *TASK, "--model", model, "--json")[1]
    assert json.loads(again)["designs"] == answer["designs"]
    assert json.loads(again)["spec"] == answer["spec"]  # it holds the text: the file is not needed again
    table = {key: value for key, value in answer["spec"].items() if value is not None}
    (tmp_path / "task.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    assert json.loads(cli("design", "smiles", "--spec", "task.toml", "--json")[1])["designs"] == answer["designs"]
    status, out, _ = cli("design", "smiles", "--spec", "task.toml", "--lengths", "3", "--n", 2)
    assert status == 0 and "checked afterwards" in out


def test_what_is_not_what_was_asked_for_is_said(cli, model):
    words = ("--task", "macrocycle", "--ring-atoms", "8", "--lengths", "3-5", "--templates", "1", "--syntax", "--n", "30")
    status, out, err = cli("design", "smiles", "*CCCC*", *words, "--seed", 1, "--model", model)
    assert status == 0, err
    assert "of 30 not returned: its ring has" in out and "atoms, fewer than 8" in out


def test_the_help_has_a_line_for_each_task(cli):
    from domains.smiles.task_names import TASKS

    text = " ".join(cli("design", "smiles", "--help")[1].replace("│", " ").split())
    for name, line in TASKS.items():
        assert f"{name}: {line}." in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["*CC.*C", "--task", "glue"], "task: expected one of linker, decoration"),
        (["*CC.*C", "--task", "linker", "--lengths", "many"], "lengths: expected a number or a range such as 4-9, got 'many'"),
        (["*CC.*C", "--task", "linker", "--lengths", "5-3"], "1 ≤ low ≤ high ≤ 500, got [5, 3]"),
        (["CC{3}", "--lengths", "5"], "lengths: is of a task such as linker"),
        (["--task", "linker"], "task: linker needs what is drawn, as the template; got none"),
        (
            ["*CC.*C", "--task", "linker", "--source", "drawn.smi"],
            "source: expected what is drawn in drawn.smi or as an argument",
        ),
        (["--task", "linker", "--source", "none.sdf"], "source: could not read none.sdf"),
        (["CC{3}", "--scorer", "dock"], "scorer: expected NAME=URL such as dock=http"),
        (["CC{3}", "--scorer", "a=http://x/y", "--scorer", "a=http://x/z"], "scorer: expected each name once, got a, a"),
    ],
)
def test_what_is_asked_of_a_task_or_a_scorer_is_checked(cli, model, words, text):
    refused(cli("design", "smiles", *words, "--model", model, "--json"), text)


def test_files_of_every_suffix_are_written(cli, model, tmp_path):
    names = [f"new/out{suffix}" for suffix in (".csv", ".smi", ".sdf", ".jsonl", ".png")]
    out_options = [word for name in names for word in ("--out", name)]
    status, out, err = cli("design", "smiles", TEMPLATE, "--model", model, "--n", 12, *out_options, "--json")
    assert status == 0, err
    made = json.loads(out)["designs"]
    valid = [item["canonical"] for item in made if item["valid"]]
    assert 2 <= len(valid) <= 12
    with (tmp_path / "new/out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["smiles"] for row in csv.DictReader(file)] == [item["sequence"] for item in made]
    lines = (tmp_path / "new/out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [item["sequence"] for item in made]
    smi = [line.split()[0] for line in (tmp_path / "new/out.smi").read_text().splitlines()]
    assert [Chem.CanonSmiles(smiles) for smiles in smi] == valid
    assert [Chem.MolToSmiles(m) for m in Chem.SDMolSupplier(str(tmp_path / "new/out.sdf"))] == valid
    assert (tmp_path / "new/out.png").read_bytes().startswith(b"\x89PNG")


def test_without_json_there_is_a_table_and_a_summary(cli, model):
    status, out, err = cli("design", "smiles", TEMPLATE, "--model", model, "--n", 10, "--out", "out.smi")
    made = design(DesignSpec("smiles", TEMPLATE, n=10, model=model)).designs
    valid = [item for item in made if item.valid]
    text = " ".join(out.split())
    distinct = len({item.canonical for item in valid})
    assert status == 0 and "wrote out.smi" in err
    assert f"10 designs: {len(valid)} valid ({len(valid) / 10:.0%} of all), {distinct} distinct" in text
    assert "pinned tokens kept in all" in text and "law: the model's 128-step law under them" in text


def test_spec_files_are_read_and_overridden(cli, model, tmp_path):
    (tmp_path / "spec.toml").write_text(f'template = "CC{{2}}O"\nn = 3\nseed = 4\nmodel = "{model}"\n')
    status, out, _ = cli("design", "smiles", "--spec", "spec.toml", "--json")
    assert status == 0
    assert DesignSpec.from_dict(json.loads(out)["spec"]) == DesignSpec("smiles", "CC{2}O", n=3, seed=4, model=model)
    status, out, _ = cli("design", "smiles", "N{2}O", "--spec", "spec.toml", "--n", 2, "--json")
    assert status == 0
    assert DesignSpec.from_dict(json.loads(out)["spec"]) == DesignSpec("smiles", "N{2}O", n=2, seed=4, model=model)
    # what was printed can be saved and run again
    table = {key: value for key, value in json.loads(out)["spec"].items() if value is not None}
    (tmp_path / "again.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    assert tomllib.loads((tmp_path / "again.toml").read_text()) == table
    assert json.loads(cli("design", "smiles", "--spec", "again.toml", "--json")[1])["designs"] == json.loads(out)["designs"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("n = = 3", "seqdiff: spec: spec.toml is not TOML"),
        ("number = 3", "seqdiff: number: unknown key; expected one of domain, template, n"),
        ('n = "three"', "seqdiff: n: expected int, got 'three'"),
        ('domain = "protein"', "seqdiff: spec: spec.toml is for domain 'protein', the command for 'smiles'"),
        ('template = "C{3-1}"', "the gap's range is empty: 3 is more than 1"),
    ],
)
def test_bad_spec_files_are_refused(cli, model, tmp_path, content, text):
    (tmp_path / "spec.toml").write_text(content)
    refused(cli("design", "smiles", "--spec", "spec.toml", "--model", model, "--json"), text)


def test_a_bad_template_is_marked(cli, model):
    answer = cli("design", "smiles", "CC{5-3}N", "--model", model, "--out", "out.csv", "--json")
    refused(answer, "seqdiff: template, character 3: the gap's range is empty: 5 is more than 3\n  CC{5-3}N\n    ^^^^^\n")
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--model", "no-such-model"], "seqdiff: model: expected a bundled name"),
        (["--model", "./nowhere"], "got './nowhere'"),
        (["--model", "MODEL", "--out", "out.pdf"], "ends in .csv, .smi, .sdf, .jsonl, .png, .html; got out.pdf"),
        (["--model", "MODEL", "--out", "here"], "ends in .csv, .smi, .sdf, .jsonl, .png, .html; got here"),
        (["--model", "MODEL", "--sampler", "fast"], "sampler: expected one of event-driven"),
        (["--model", "MODEL", "--class", "qm9"], "expected one of the model's classes (zinc, chembl), got 'qm9'"),
        (["--model", "MODEL", "--n", "0"], "n: expected 1 to 100000, got 0"),
        (["--model", "MODEL", "--n", "many"], "Invalid value for '--n'"),
        (["--model", "MODEL", "--temperature", "0"], "temperature: expected more than 0, got 0.0"),
        (["--model", "MODEL", "--no-such-option"], "--no-such-option"),
        (["--spec", "none.toml"], "spec: could not read none.toml"),
        (["--model", "MODEL", "--out", "file/out.csv"], "out: cannot make the folder of file/out.csv"),
    ],
)
def test_bad_options_are_refused(cli, model, tmp_path, words, text):
    (tmp_path / "file").write_text("not a folder")
    refused(cli("design", "smiles", TEMPLATE, "--json", *[model if word == "MODEL" else word for word in words]), text)


def test_a_damaged_model_is_refused(cli, tmp_path):
    tiny_checkpoint().save(tmp_path / "tiny", "")
    weights = tmp_path / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    refused(cli("design", "smiles", "C{3}", "--model", "./tiny"), "model.safetensors: damaged or exchanged: expected sha256")


def test_an_interrupt_writes_what_is_done(cli, model, monkeypatch):
    import domains.design

    real = domains.design.design_batches

    def interrupted(task, watch=None):
        yield next(real(task, watch))
        raise KeyboardInterrupt

    monkeypatch.setattr(domains.design, "design_batches", interrupted)
    words = (
        "design",
        "smiles",
        "CC{3}O",
        "--model",
        model,
        "--n",
        9,
        "--batch-size",
        4,
        "--out",
        "out.smi",
        "--out",
        "out.jsonl",
    )
    status, out, err = cli(*words, "--json")
    answer = json.loads(out)
    assert status == 130 and answer["complete"] is False and [item["index"] for item in answer["designs"]] == [0, 1, 2, 3]
    assert "interrupted: kept the 4 of 9 designs that were done" in " ".join(err.split())
    assert len(Path("out.jsonl").read_text().splitlines()) == 4


def test_an_interrupt_anywhere_else_ends_with_130(cli, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(apps.cli.models, "bundled_models", interrupt)
    status, out, err = cli("models", "--json")
    assert (status, out) == (130, "") and "Traceback" not in err


def test_models_are_listed(cli, model, monkeypatch):
    monkeypatch.setattr(apps.cli.models, "bundled_models", lambda: {"tiny": Path(model)})
    status, out, _ = cli("models", "--json")
    parameters = sum(p.numel() for p in tiny_checkpoint().network.parameters())
    megabytes = round(sum(path.stat().st_size for path in Path(model).iterdir()) / 1e6, 1)
    row = {
        "name": "tiny",
        "domain": "smiles",
        "kind": "mdlm",
        "parameters": parameters,
        "classes": ["zinc", "chembl"],
        "max_length": 40,
    }
    assert status == 0
    assert json.loads(out) == {"models": [{**row, "megabytes": megabytes, "metrics": {"training_hours": 0.5}}]}
    status, out, _ = cli("models")
    assert status == 0 and "tiny" in out and "zinc" in out and "mdlm" in out and " 40 " in out and " 0.5" in out


def test_no_command_shows_the_help(cli):
    for words in ((), ("design",)):
        status, out, err = cli(*words)
        assert status == 2 and "Usage" in out + err


def test_a_model_is_evaluated_class_by_class(cli, model):
    status, out, err = cli("evaluate", "smiles", "--model", model, "--n", 12, "--seed", 2, "--json")
    assert status == 0, err
    answer = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert list(answer) == ["results", "specs", "timing"] and list(answer["results"]) == ["zinc", "chembl"]
    for label, result in answer["results"].items():
        spec = DesignSpec("smiles", n=12, seed=2, model=model, label=label)
        assert DesignSpec.from_dict(answer["specs"][label]) == spec
        made = design(spec).designs
        per_token = sum(item.metrics["bound"] for item in made) / sum(item.metrics["tokens"] for item in made)
        assert result["sample_bound_per_token"] == pytest.approx(per_token, rel=1e-6)
        assert result["held_out_bound_per_token"] is None
    refused(cli("evaluate", "smiles", "--model", model, "--n", 0, "--json"), "n: expected 1 to 100000, got 0")
    status, out, _ = cli("evaluate", "smiles", "--model", model, "--n", 3)
    assert status == 0 and "zinc" in out and "chembl" in out and "sample_bound_per_token" in out
