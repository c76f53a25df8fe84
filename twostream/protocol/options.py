"""What a protocol can be told. Each option is declared here, and nowhere else."""

from dataclasses import dataclass
from typing import Literal

from flowcache.errors import UserError
from twostream.option_fields import option
from twostream.runs.training_options import IndexOptions

Scheme = Literal["group-folds", "leave-one-group-out", "lists", "hmdb51"]


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions(IndexOptions):
    """Which folds there are, and with which seeds each is trained."""

    scheme: Scheme = option(  # noqa: RUF009
        "group-folds",
        help="What tests in turn: folds of whole groups with each class spread evenly over them; each "
        "group by itself; the lists of a folder; HMDB51's split files.",
    )
    folds: int = option(5, help="How many folds of groups.", at_least=2)
    lists: str | None = option(
        None,
        help="Folder of testlistNN.txt, a fold each, and trainlistNN.txt where not all others train.",
        path="folder",
    )
    hmdb51: str | None = option(None, help="Folder of HMDB51's split files.", path="folder")
    seeds: tuple[float, ...] = option(
        (0,), help="Each fold is trained once with each of these seeds.", metavar="N,N,…"
    )

    def __post_init__(self) -> None:
        """Paths become text, as they are recorded. Raises UserError for what cannot be."""
        super().__post_init__()
        whole = [int(seed) for seed in self.seeds if 0 <= seed < 2**32]  # no nan, no infinity
        if not whole or list(self.seeds) != whole or len(set(whole)) < len(whole):
            raise UserError("seeds are different whole numbers from 0 on, as 0,1,2", "seeds")
        object.__setattr__(self, "seeds", tuple(whole))
        if self.scheme != "group-folds" and self.folds != ProtocolOptions.folds:
            raise UserError(
                f"the scheme {self.scheme} says itself how many folds there are: leave the number out",
                "folds",
            )
        for name in ("lists", "hmdb51"):
            given, wanted = getattr(self, name) is not None, self.scheme == name
            if given != wanted:
                raise UserError(
                    f"the scheme {self.scheme} needs the folder of its files"
                    if wanted
                    else f"the scheme {self.scheme} has no use for a folder of lists: leave it out, or "
                    f"take the scheme {name}",
                    name,
                )
