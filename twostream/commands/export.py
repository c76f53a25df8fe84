"""`twostream export`: a network as a file for other programs."""

from pathlib import Path

import click

from twostream.commands._click_options import RUN
from twostream.commands._shared import example, notes


@click.command(
    epilog=example(
        "twostream export runs/temporal -o temporal.onnx",
        "twostream predict clip.mp4 --run temporal.onnx",
    )
)
@click.argument("run", type=RUN)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write; its ending, .onnx, .pt2 or .safetensors, is its format.",
)
def export(run: Path, output: Path) -> None:
    """Write the network of a run for other programs.

    It takes clips as they are stored; the normalisation is a part of it. Its logits are compared with
    PyTorch's on random clips, and a file that differs is not left.
    """
    from twostream.exporting.export import export as write

    exported = write(run, output)
    notes.print(f"wrote {exported}", soft_wrap=True)
    notes.print(f"  {exported.difference}", soft_wrap=True)
