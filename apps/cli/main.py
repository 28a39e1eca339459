"""`seqdiff`: the commands and their options. Each command's work is in a module of its own, imported when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Designs structured sequences by diffusion: fills the holes of a molecule while what you pinned stays.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
design_app = typer.Typer(help="Design sequences of a domain.", no_args_is_help=True)
evaluate_app = typer.Typer(help="Measure what a model draws.", no_args_is_help=True)
app.add_typer(design_app, name="design")
app.add_typer(evaluate_app, name="evaluate")

N = Annotated[int | None, typer.Option("--n", help="Number of designs.", show_default="64")]
Seed = Annotated[int | None, typer.Option(help="Of all noise; the same seed gives the same designs.", show_default="0")]
Steps = Annotated[int | None, typer.Option(help="T, steps of the reverse process.", show_default="128")]
SamplerName = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="event-driven, first-hitting, remasking, …; see docs/samplers.md.",
        show_default="event-driven",
    ),
]
Model = Annotated[str | None, typer.Option(help="Bundled name, or path of a checkpoint folder (with a slash).")]
Class = Annotated[str | None, typer.Option("--class", help="Class of the model to draw from, such as zinc or chembl.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


@design_app.command("smiles", epilog='Example: seqdiff design smiles "CC(=O)N{4-9}c1ccc(F)cc1" --n 32 --out designs.csv')
def design_smiles(
    template: Annotated[
        str | None, typer.Argument(help="SMILES with gaps {n} or {a-b}; the rest is pinned. None: free design.")
    ] = None,
    n: N = None,
    seed: Seed = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    model: Model = None,
    label: Class = None,
    temperature: Annotated[float | None, typer.Option(help="Below 1 sharpens p(x0 | x_t).", show_default="1.0")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus of each draw.", show_default="1.0")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in one pass.", show_default="64")] = None,
    constraint: Annotated[
        str | None, typer.Option(help='What must hold, e.g. "count([F Cl Br], 1..2) & avoid(O-O)" (docs/constraints.md).')
    ] = None,
    syntax: Annotated[
        bool | None, typer.Option("--syntax/--no-syntax", help="Hold the syntax of SMILES by construction.", show_default="off")
    ] = None,
    wish: Annotated[
        list[str] | None, typer.Option(help='What is wished: "valid", "qed >= 0.8", "2 <= logp <= 3"; may be repeated.')
    ] = None,
    particles: Annotated[
        int | None, typer.Option(help="Particles that a design is chosen from.", show_default="1, with wishes 8")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Strength of classifier-free guidance to --class.", show_default="1.0")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="TOML file with these fields; options override it.")] = None,
    out: Annotated[
        list[Path] | None, typer.Option(help="File to write, by suffix: .csv .smi .sdf .jsonl .png; may be repeated.")
    ] = None,
    json: Json = False,
):
    """Design molecules around what is pinned in TEMPLATE."""
    from apps.cli.design import run

    fields = {
        "template": template,
        "n": n,
        "seed": seed,
        "steps": steps,
        "sampler": sampler,
        "model": model,
        "label": label,
        "temperature": temperature,
        "top_p": top_p,
        "batch_size": batch_size,
        "constraint": constraint,
        "syntax": syntax,
        "wishes": wish or None,
        "particles": particles,
        "guidance": guidance,
    }
    run("smiles", {key: value for key, value in fields.items() if value is not None}, spec, out or [], json)


@design_app.command(
    "protein", epilog='Example: seqdiff design protein "10-40/A15-34/10-40" --source 1prw.pdb --out designs.fasta'
)
def design_protein(
    template: Annotated[
        str | None,
        typer.Argument(help="Sequence with gaps _, {n} or {a-b}, a contig, or 'mask 24-35 of chain H'. None: free design."),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Structure of a contig: .pdb, .cif or .fasta, plain, .gz or .xz.")] = None,
    numbering: Annotated[str, typer.Option(help="Of its residues: author, label (mmCIF) or index (from 0).")] = "author",
    copies: Annotated[int, typer.Option(help="Like chains: so many copies of the template, tied to the first.")] = 1,
    charge: Annotated[str | None, typer.Option(help="Net charge of residues at pH 7 to hold, e.g. 3..6.")] = None,
    n: N = None,
    seed: Seed = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    model: Model = None,
    label: Class = None,
    temperature: Annotated[float | None, typer.Option(help="Below 1 sharpens p(x0 | x_t).", show_default="1.0")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus of each draw.", show_default="1.0")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in one pass.", show_default="64")] = None,
    constraint: Annotated[
        str | None, typer.Option(help='What must hold, e.g. "avoid(N-[^P]-[ST]) & count([C], 0..1)" (docs/proteins.md).')
    ] = None,
    wish: Annotated[
        list[str] | None, typer.Option(help='What is wished: "charge >= 3", "instability <= 40"; may be repeated.')
    ] = None,
    particles: Annotated[
        int | None, typer.Option(help="Particles that a design is chosen from.", show_default="1, with wishes 8")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="TOML file with these fields; options override it.")] = None,
    out: Annotated[
        list[Path] | None, typer.Option(help="File to write, by suffix: .fasta .csv .jsonl .png (logo); may be repeated.")
    ] = None,
    json: Json = False,
):
    """Design proteins around what TEMPLATE pins."""
    from apps.cli.protein import run

    fields = {
        "template": template,
        "n": n,
        "seed": seed,
        "steps": steps,
        "sampler": sampler,
        "model": model,
        "label": label,
        "temperature": temperature,
        "top_p": top_p,
        "batch_size": batch_size,
        "constraint": constraint,
        "wishes": wish or None,
        "particles": particles,
    }
    given = {key: value for key, value in fields.items() if value is not None}
    run(given, source, numbering, copies, charge, spec, out or [], json)


@evaluate_app.command("smiles", epilog="Example: seqdiff evaluate smiles --n 1000 --json")
def evaluate_smiles(
    model: Model = None,
    n: Annotated[int, typer.Option("--n", help="Samples of each class.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 0,
    steps: Steps = None,
    sampler: SamplerName = None,
    temperature: Annotated[float, typer.Option(help="Below 1 sharpens p(x0 | x_t).")] = 1.0,
    syntax: Annotated[bool, typer.Option("--syntax/--no-syntax", help="Hold the syntax of SMILES by construction.")] = False,
    wish: Annotated[list[str] | None, typer.Option(help='What is wished: "valid", "qed >= 0.8"; may be repeated.')] = None,
    particles: Annotated[
        int | None, typer.Option(help="Particles that a design is chosen from.", show_default="1, with wishes 8")
    ] = None,
    json: Json = False,
):
    """Draw free molecules from MODEL, class by class, and measure them."""
    from apps.cli.evaluate import run

    fields = {"model": model, "n": n, "seed": seed, "temperature": temperature}
    fields |= {"steps": steps or 128, "sampler": sampler or "event-driven"}
    fields |= {"syntax": syntax, "wishes": tuple(wish or ()), "particles": particles}
    run("smiles", fields, json)


@evaluate_app.command("protein", epilog="Example: seqdiff evaluate protein --n 200 --json")
def evaluate_protein(
    model: Model = None,
    n: Annotated[int, typer.Option("--n", help="Samples of each class.")] = 200,
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 0,
    steps: Steps = None,
    sampler: SamplerName = None,
    temperature: Annotated[float, typer.Option(help="Below 1 sharpens p(x0 | x_t).")] = 1.0,
    json: Json = False,
):
    """Draw free proteins from MODEL, class by class, and measure them."""
    from apps.cli.evaluate import run

    fields = {"model": model, "n": n, "seed": seed, "temperature": temperature}
    fields |= {"steps": steps or 128, "sampler": sampler or "event-driven"}
    run("protein", fields, json)


@app.command(epilog="Example: seqdiff train smiles-small.toml --out runs/mine; the same command again goes on.")
def train(
    config: Annotated[Path, typer.Argument(help="TOML configuration, or a preset: smiles-small, smiles-tiny.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.", show_default="cuda if there is one")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder the configuration's data paths start from.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop with a checkpoint after this time.")] = None,
    init: Annotated[str | None, typer.Option(help="Begin with the weights of this model (bundled name or path).")] = None,
):
    """Train a model, or go on where an earlier run of the same command stopped."""
    from apps.cli.train import run

    run(config, out, device, data, max_minutes, init)


@app.command(epilog="Example: seqdiff models --json")
def models(json: Json = False):
    """List the bundled models."""
    from apps.cli.models import run

    run(json)


def main() -> None:
    """Run the command line: exit status 0, 2 for bad input (one line on stderr), 130 after Ctrl-C."""
    from seqdiff.errors import SeqdiffError

    try:
        app()
    except SeqdiffError as error:
        print(f"seqdiff: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
