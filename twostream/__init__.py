"""Two-stream video recognition. The public names; docs/python.md shows their use.

Each name is imported when it is first used, so that importing the package itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowcache.errors import UserError
    from twostream.api import (
        Clips,
        Run,
        create_model,
        export,
        fuse,
        load,
        run_protocol,
        save,
        train,
    )
    from twostream.explanation.explain import Explanation, explain, explain_clip
    from twostream.explanation.of_videos import explain_video
    from twostream.exporting.export import Exported
    from twostream.html_report.write import write_report
    from twostream.prediction.predict import Prediction, Predictor
    from twostream.protocol.results import Ensemble
    from twostream.scoring.intervals import Comparison, Interval, compare, interval
    from twostream.scoring.scores import Scores
    from twostream.timeline.predict import Timeline
    from twostream.training.listener import Listener

_HOMES = {
    "Clips": "twostream.api",
    "Comparison": "twostream.scoring.intervals",
    "Ensemble": "twostream.protocol.results",
    "Explanation": "twostream.explanation.explain",
    "Exported": "twostream.exporting.export",
    "Interval": "twostream.scoring.intervals",
    "Listener": "twostream.training.listener",
    "Prediction": "twostream.prediction.predict",
    "Predictor": "twostream.prediction.predict",
    "Run": "twostream.api",
    "Scores": "twostream.scoring.scores",
    "Timeline": "twostream.timeline.predict",
    "UserError": "flowcache.errors",
    "compare": "twostream.scoring.intervals",
    "create_model": "twostream.api",
    "explain": "twostream.explanation.explain",
    "explain_clip": "twostream.explanation.explain",
    "explain_video": "twostream.explanation.of_videos",
    "export": "twostream.api",
    "fuse": "twostream.api",
    "interval": "twostream.scoring.intervals",
    "load": "twostream.api",
    "run_protocol": "twostream.api",
    "save": "twostream.api",
    "train": "twostream.api",
    "write_report": "twostream.html_report.write",
}
"""The module that each public name stands in."""

__all__ = [
    "Clips",
    "Comparison",
    "Ensemble",
    "Explanation",
    "Exported",
    "Interval",
    "Listener",
    "Prediction",
    "Predictor",
    "Run",
    "Scores",
    "Timeline",
    "UserError",
    "compare",
    "create_model",
    "explain",
    "explain_clip",
    "explain_video",
    "export",
    "fuse",
    "interval",
    "load",
    "run_protocol",
    "save",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
