"""Commands that convert published weights: their options; `apps.cli.importing` does the work."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def import_esm(
    file: Annotated[str, typer.Argument(help="A .pt file, a Hugging Face folder, or a published name in torch's cache.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the model.", show_default="./NAME")] = None,
    lengths: Annotated[Path | None, typer.Option(help="FASTA whose lengths are counted, for free design.")] = None,
    check: Annotated[
        bool | None, typer.Option("--check/--no-check", help="Compare logits with fair-esm's own.", show_default="if installed")
    ] = None,
    json: Json = False,
):
    """Make a model for design of published ESM weights."""
    from apps.cli.importing import run

    run(file, out, lengths, check, json)


def import_text(
    folder: Annotated[str, typer.Argument(help="A Hugging Face folder: config.json, model.safetensors, tokenizer.json.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the model.", show_default="./NAME")] = None,
    read_as: Annotated[
        str, typer.Option("--as", help="masked (any masked language model), or llada or dream (Llama's or Qwen2's weights).")
    ] = "masked",
    json: Json = False,
):
    """Make a model for design of a published language model."""
    from apps.cli.importing import run_text

    run_text(folder, out, read_as, json)
