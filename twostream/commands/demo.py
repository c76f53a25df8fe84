"""`twostream demo`: the four commands on videos of our own."""

import shlex
from pathlib import Path

import click

from flowcache.errors import UserError
from twostream.commands._click_options import FOLDER
from twostream.commands._shared import example, notes


@click.command(epilog=example("twostream demo demo"))
@click.argument("folder", type=FOLDER, default=Path("demo"))
def demo(folder: Path) -> None:
    """Run the four commands on a small rendered video set.

    All is written into FOLDER, and takes some minutes on two cores.
    """
    from twostream.commands.main import main
    from twostream.demo import videos

    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: name a folder that is new, or delete it")
    notes.print(f"rendering videos into {folder / 'videos'}")
    videos.render(folder / "videos")
    videos.contact_sheet(folder / "videos", folder / "videos.png")

    def call(words: str) -> None:
        notes.print(f"\n$ twostream {words}", style="bold", soft_wrap=True)
        main(shlex.split(words), standalone_mode=False)

    place = shlex.quote(str(folder))
    call(f"extract-flow {place}/videos --size {videos.SIZE} --cache {place}/cache")
    for stream in ("spatial", "temporal"):
        call(
            f"train --stream {stream} --model tiny --crop {videos.CROP} --resize 0 --jobs 0 "
            f"--epochs {videos.EPOCHS} --batch-size {videos.BATCH_SIZE} "
            f"--learning-rate {videos.LEARNING_RATE} --weight-decay {videos.WEIGHT_DECAY} "
            "--label-smoothing 0 "
            f"--cache {place}/cache --run {place}/runs/{stream}"
        )
    call(f"fuse {place}/runs/spatial {place}/runs/temporal --weights 0.5 --run {place}/runs/fused")
    notes.print(
        f"\nThe videos side by side: {folder / 'videos.png'}\n"
        f"What each stream confuses: {folder / 'runs' / 'fused' / 'confusion.png'}\n"
        "A frame shows the texture and not the movement, flow shows the movement and not the texture: "
        "each stream is right about one half of the label, and their sum about both.",
        soft_wrap=True,
    )
