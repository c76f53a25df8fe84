"""A report of runs in one of its forms: from folders to a file or a data set."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flowcache.errors import UserError
from twostream.fusion import Weights
from twostream.html_report.content import read_content
from twostream.html_report.page import check_output, write_page
from twostream.html_report.pictures import MOST, chosen_ids, here, open_cache, read_pictures
from twostream.html_report.score_curves import networks_of
from twostream.html_report.to_fiftyone import write_dataset
from twostream.html_report.to_rerun import write_rrd

FORMS: Mapping[str, str] = {"html": "report.html", "rerun": "report.rrd", "fiftyone": "twostream"}
"""The forms of a report, and what each writes where nothing else is named."""


def write_report(
    runs: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    to: str = "html",
    weights: Weights = (),
    rule: str = "softmax",
    views: str = "",
    cache: str | Path = "cache",
    strips: int = MOST,
    explain: bool = False,
    videos: str | Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_video: Callable[[int, int], None] = lambda *_: None,
) -> str:
    """Report on runs and their fusion; returns a sentence that says what was written.

    Args:
        runs: their folders; a single run is shown alone.
        output: the file to write, or the name of FiftyOne's data set; see `FORMS`.
        to: "html", a page that needs no other file; "rerun", a recording of the chosen videos;
            "fiftyone", a data set of all test videos.
        weights: see `score_fusion.fuse_scores`, as are rule and views.
        rule: of the fusion.
        views: which of the runs' scores.
        cache: where frames and flow are; where there is none, a page has no pictures.
        strips: of how many videos of each kind, rescued and lost, frames and flow are shown.
        explain: whether a page also shows what spoke for the class that each run names.
        videos: the folder of the videos, which FiftyOne needs.
        say: is told what cannot be shown.
        on_video: is given how many of the shown videos are done, and of how many.

    Raises UserError for another form, for a path that is a folder, for runs that do not belong together,
    see `content.read_content`, and for what a form needs and has not.
    """
    if to not in FORMS:
        raise UserError(f"there is no form {to!r}: choose from {', '.join(FORMS)}", "to")
    folders, path = [Path(run) for run in runs], Path(output or FORMS[to])
    if to == "fiftyone":
        if videos is None:
            raise UserError("FiftyOne shows the videos themselves: name their folder", "videos")
        content = read_content(folders, weights, rule, views)
        count = write_dataset(str(path), content, Path(videos))
        return f"the data set {path} has {count} videos"
    check_output(path)
    content = read_content(folders, weights, rule, views)
    wanted = chosen_ids(content, strips)
    opened = open_cache(Path(cache), say) if wanted else None
    ids = here(opened, wanted, say) if opened else []
    asked = explain or to == "rerun"
    networks = networks_of(folders, opened) if opened and ids and asked else {}
    if to == "html":
        pictures = read_pictures(opened, ids, networks, on_video) if opened else {}
        write_page(path, content, pictures)
    elif opened is None:
        raise UserError(
            "Rerun shows frames and flow of videos that the fusion rescued or lost, and there are none: "
            "name a cache that has them, or runs that differ",
            "cache",
        )
    else:
        write_rrd(path, content, opened, ids, networks, on_video)
    return f"{path}, {path.stat().st_size / 1e6:.1f} MB"
