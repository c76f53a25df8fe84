"""Pages that are made quickly."""

import pytest

from twostream.html_report import plots


def leave_out_plots(patch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else: a page then has empty pictures in place of its plots."""
    patch.setattr(plots, "_svg", lambda *_: "<svg></svg>")
    curve = plots.WeightPlot("<svg></svg>", "a curve", 0.5, 100.0)
    patch.setattr(plots, "weight_curve", lambda *_: curve)
