"""`seqdiff`: the commands and their options. Each command's work is in a module of its own, imported when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.imports import import_esm, import_text
from apps.cli.optimise import optimise_smiles
from apps.cli.services import serve, workbench
from domains.smiles.task_names import TASKS


def listed(table: dict[str, str]) -> str:
    """Names with a line each, for a help text."""
    return "".join(f"\n\n{name}: {line}." for name, line in table.items())


app = typer.Typer(
    help="Designs structured sequences by diffusion: fills the holes of molecules, proteins and texts; what you pinned stays.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
design_app = typer.Typer(help="Design sequences of a domain.", no_args_is_help=True)
evaluate_app = typer.Typer(help="Measure what a model draws.", no_args_is_help=True)
import_app = typer.Typer(help="Convert published weights, once.", no_args_is_help=True)
app.add_typer(design_app, name="design")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(import_app, name="import")
import_app.command("esm", epilog="Example: seqdiff import esm esm2_t6_8M_UR50D.pt --out models/esm2-8m")(import_esm)
import_app.command("text", epilog="Example: seqdiff import text ./bert-base-uncased --out models/bert")(import_text)
app.command("optimise", epilog='Example: seqdiff optimise qed --template "CC(C)C{6-16}" --budget 2000 --out best.smi')(
    optimise_smiles
)


def _several(option: str, text: str):
    return typer.Option(option, help=f"{text}; may be repeated.")


Several = list[str] | None
Scorers = Annotated[Several, _several("--scorer", 'NAME=URL of a service that scores, for "score NAME >= 0.5"')]
N = Annotated[int | None, typer.Option("--n", help="Number of designs.", show_default="64")]
Samples = Annotated[int, typer.Option("--n", help="Samples of each class.")]
Seed = Annotated[int | None, typer.Option(help="Of all noise; the same seed gives the same designs.", show_default="0")]
Steps = Annotated[int | None, typer.Option(help="T, steps of the reverse process.", show_default="128")]
SamplerName = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="event-driven, entropy-bounded, remasking, …; docs/samplers.md has all.",
        show_default="event-driven or the model's own",
    ),
]
Model = Annotated[str | None, typer.Option(help="Bundled name, or path of a checkpoint folder (with a slash).")]
Class = Annotated[str | None, typer.Option("--class", help="Class of the model to draw from, as `seqdiff models` lists them.")]
Temperature = Annotated[float | None, typer.Option(help="Below 1 sharpens p(x0 | x_t).", show_default="1.0")]
TopP = Annotated[float | None, typer.Option(help="Nucleus of each draw.", show_default="1.0")]
BatchSize = Annotated[int | None, typer.Option(help="Rows in one pass.", show_default="64")]
Syntax = Annotated[
    bool | None, typer.Option("--syntax/--no-syntax", help="Hold the syntax of SMILES.", show_default="for tasks")
]
Particles = Annotated[int | None, typer.Option(help="Particles that a design is chosen from.", show_default="1, with wishes 8")]
Guidance = Annotated[float | None, typer.Option(help="Strength of classifier-free guidance to --class.", show_default="1.0")]
Spec = Annotated[Path | None, typer.Option(help="TOML file with these fields; options override it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def _constraint(example: str, page: str):
    return typer.Option(help=f'What must hold, e.g. "{example}" (docs/{page}.md).')


def _wishes(examples: str):
    return _several("--wish", f"What is wished: {examples}")


def _out(suffixes: str):
    return typer.Option(help=f"File to write, by suffix: {suffixes}; may be repeated.")


@design_app.command(
    "smiles",
    epilog='Example: seqdiff design smiles "CC(=O)N{4-9}c1ccc(F)cc1" --n 32 --out designs.csv\n\n'
    'seqdiff design smiles --task linker "[*:1]N1CCCC1.[*:2]c1ccc2c(c1)OCCO2" --wish valid',
)
def design_smiles(
    template: Annotated[
        str | None,
        typer.Argument(help="SMILES with gaps {n} or {a-b}; the rest is pinned. With --task what is drawn. None: free design."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="What is done with the fragments that are drawn." + listed(TASKS))] = None,
    source: Annotated[Path | None, typer.Option(help="File of what is drawn for --task: .sdf, .mol or .smi.")] = None,
    lengths: Annotated[str | None, typer.Option(help="Tokens of every gap of a task, e.g. 4-9.")] = None,
    ring_atoms: Annotated[int | None, typer.Option(help="Fewest atoms of a macrocycle's ring.", show_default="12")] = None,
    templates: Annotated[int | None, typer.Option(help="At most so many ways to write a task.")] = None,
    n: N = None,
    seed: Seed = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    model: Model = None,
    label: Class = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    batch_size: BatchSize = None,
    constraint: Annotated[str | None, _constraint("count([F Cl Br], 1..2) & avoid(O-O)", "constraints")] = None,
    syntax: Syntax = None,
    wishes: Annotated[Several, _wishes('"valid", "qed >= 0.8", "2 <= logp <= 3"')] = None,
    scorer: Scorers = None,
    particles: Particles = None,
    guidance: Guidance = None,
    spec: Spec = None,
    out: Annotated[list[Path] | None, _out(".csv .smi .sdf .jsonl .png")] = None,
    json: Json = False,
):
    """Design molecules around what is pinned in TEMPLATE, or from the fragments of a task."""
    given = dict(locals())
    from apps.cli.smiles import run

    run(given)


@design_app.command(
    "protein", epilog='Example: seqdiff design protein "10-40/A15-34/10-40" --source 1prw.pdb --out designs.fasta'
)
def design_protein(
    template: Annotated[
        str | None,
        typer.Argument(help="Sequence with gaps _, {n} or {a-b}, a contig, or 'mask 24-35 of chain H'. None: free design."),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Structure of a contig: .pdb, .cif or .fasta, plain, .gz or .xz.")] = None,
    numbering: Annotated[
        str,
        typer.Option(
            help="Of its residues: author, label (mmCIF), index (from 0), uniprot:A=+23, or a table such as imgt.csv."
        ),
    ] = "author",
    show_numbering: Annotated[
        bool, typer.Option("--show-numbering", help="List the residues of --source under all numberings, and stop.")
    ] = False,
    copies: Annotated[int, typer.Option(help="Like chains: so many copies of the template, tied to the first.")] = 1,
    charge: Annotated[
        str | None, typer.Option(help='Net charge of residues to hold, at pH 7 or another: 3..6, "0..3 at pH 5.5".')
    ] = None,
    n: N = None,
    seed: Seed = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    model: Model = None,
    label: Class = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    batch_size: BatchSize = None,
    constraint: Annotated[str | None, _constraint("avoid(N-[^P]-[ST]) & count([C], 0..1)", "proteins")] = None,
    wishes: Annotated[Several, _wishes('"amp >= 0.9", "charge >= 3", "instability <= 40"')] = None,
    profile: Annotated[Path | None, typer.Option(help="Alignment (.a3m .a2m .sto .fasta) whose profile is wished.")] = None,
    scorer: Scorers = None,
    particles: Particles = None,
    spec: Spec = None,
    out: Annotated[list[Path] | None, _out(".fasta .csv .jsonl .png (logo)")] = None,
    json: Json = False,
):
    """Design proteins around what TEMPLATE pins."""
    given = dict(locals())
    from apps.cli.protein import run

    run(given)


@design_app.command(
    "text",
    epilog='Example: seqdiff design text "The {2-4} near {5-12}." --n 8\n\n'
    "seqdiff design text --field food=Japanese --field area=riverside --words 8..14 --keyword river --ban cheap "
    '--class restaurant --n 8\n\nseqdiff design text "\\[food] {1-3} \\[area] {1-2} \\[text] By the river you can eat sushi."',
)
def design_text(
    template: Annotated[
        str | None,
        typer.Argument(help="Text with holes _, {n}, {a-b}, {a-b words}, {ADJ NOUN} or {}, and fields. None: free design."),
    ] = None,
    fields: Annotated[Several, _several("--field", "NAME=VALUE that the text tells; a value may have holes")] = None,
    words: Annotated[str | None, typer.Option(help="Number of words, e.g. 8..14.")] = None,
    keywords: Annotated[Several, _several("--keyword", "Word that stands in it in any inflection")] = None,
    verbatim: Annotated[Several, _several("--verbatim", "Phrase, or field whose value, stands in it as it is")] = None,
    one_of: Annotated[Several, _several("--one-of", "At least one of these phrases stands in it")] = None,
    banned: Annotated[Several, _several("--ban", "Word or phrase that does not stand in it")] = None,
    whole_sentences: Annotated[bool, typer.Option("--whole-sentences", help="The text ends where a sentence does.")] = False,
    n: N = None,
    seed: Seed = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    model: Model = None,
    label: Class = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    batch_size: BatchSize = None,
    constraint: Annotated[str | None, _constraint("within(gap1, length(2..4))", "text")] = None,
    wishes: Annotated[Several, _wishes('"words <= 12", "positive >= 0.9"')] = None,
    scorer: Scorers = None,
    particles: Particles = None,
    guidance: Guidance = None,
    field_guidance: Annotated[float | None, typer.Option(help="Strength of guidance to fields.", show_default="1.0")] = None,
    spec: Spec = None,
    out: Annotated[list[Path] | None, _out(".txt .csv .jsonl")] = None,
    json: Json = False,
):
    """Design texts around what TEMPLATE pins, or that tell the fields; or read the fields of a text."""
    given = dict(locals())
    from apps.cli.text import run

    run(given)


@evaluate_app.command("smiles", epilog="Example: seqdiff evaluate smiles --n 1000 --json")
def evaluate_smiles(
    model: Model = None,
    n: Samples = 1000,
    seed: Seed = None,
    steps: Steps = None,
    sampler: SamplerName = None,
    temperature: Temperature = None,
    syntax: Syntax = None,
    wishes: Annotated[Several, _wishes('"valid", "qed >= 0.8"')] = None,
    particles: Particles = None,
    json: Json = False,
):
    """Draw free molecules from MODEL, class by class, and measure them."""
    given = dict(locals())
    from apps.cli.evaluate import run

    run("smiles", given)


def _evaluate(domain: str, what: str):
    @evaluate_app.command(domain, epilog=f"Example: seqdiff evaluate {domain} --n 200 --json", help=what)
    def evaluate(
        model: Model = None,
        n: Samples = 200,
        seed: Seed = None,
        steps: Steps = None,
        sampler: SamplerName = None,
        temperature: Temperature = None,
        json: Json = False,
    ):
        given = dict(locals())
        from apps.cli.evaluate import run

        del given["domain"]
        run(domain, given)


_evaluate("protein", "Draw free proteins from MODEL, class by class, and measure them.")
_evaluate("text", "Draw free texts from MODEL, class by class, and measure them.")


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


app.command("serve", epilog="Example: seqdiff serve --port 8000")(serve)
app.command("workbench", epilog="Example: seqdiff workbench --port 8501")(workbench)


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
