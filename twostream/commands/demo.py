"""`twostream demo`: the four commands on videos of our own."""

import shlex
from pathlib import Path

import click

from flowcache.errors import UserError
from twostream import demo as sets
from twostream.commands._click_options import FOLDER
from twostream.commands._shared import example, notes


@click.command(
    epilog=example(
        "twostream demo demo",
        "twostream demo --set motion motion",
        "twostream demo --only-videos tutorial",
    )
)
@click.argument("folder", type=FOLDER, default=Path("demo"))
@click.option(
    "--set",
    "set_name",
    type=click.Choice(sets.names()),
    default="discs",
    show_default=True,
    help="discs: textures that a frame shows and movements that flow shows; motion: letters that no "
    "frame shows.",
)
@click.option(
    "--only-videos",
    is_flag=True,
    help="Render the videos, and of discs a long one, and run no command.",
)
def demo(folder: Path, set_name: str, only_videos: bool) -> None:
    """Run the four commands on a small rendered video set.

    All is written into FOLDER, and takes some minutes on two cores.
    """
    from twostream.commands.main import main

    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name a folder that is new, or delete it")
    chosen = sets.create(set_name)
    notes.print(f"rendering videos into {folder / 'videos'}")
    chosen.render(folder / "videos")
    chosen.contact_sheet(folder / "videos", folder / "videos.png")
    if only_videos:
        if chosen.render_long:
            chosen.render_long(folder / "long.mp4")
        return

    def call(words: str) -> None:
        notes.print(f"\n$ twostream {words}", style="bold", soft_wrap=True)
        main(shlex.split(words), standalone_mode=False)

    place = shlex.quote(str(folder))
    call(f"extract-flow {place}/videos {chosen.extract} --cache {place}/cache")
    for stream in ("spatial", "temporal"):
        call(
            f"train --stream {stream} {chosen.train} --jobs 0 "
            f"--cache {place}/cache --run {place}/runs/{stream}"
        )
    call(f"fuse {place}/runs/spatial {place}/runs/temporal --weights 0.5 --run {place}/runs/fused")
    notes.print(
        f"\nThe videos side by side: {folder / 'videos.png'}\n"
        f"What each stream confuses: {folder / 'runs' / 'fused' / 'confusion.png'}\n"
        f"{chosen.finding}",
        soft_wrap=True,
    )
