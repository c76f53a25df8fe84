"""From what a user asks for to what labels a source."""

from collections.abc import Mapping, Sequence
from typing import Any

from flowcache.errors import UserError
from twostream.fusion import Weights
from twostream.live.labels import Labeller
from twostream.live.source import Source
from twostream.prediction.predict import Predictor
from twostream.runs.training_options import Average
from twostream.scoring.frame_rates import is_unlike


def labeller_of(
    predictor: Predictor,
    *,
    seconds: float,
    weights: Weights = (),
    rule: str = "softmax",
    average: Average = "logits",
    algorithm: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Labeller, Sequence[str]]:
    """What labels by a predictor's networks, and what the user should know.

    algorithm, options: of the flow, in place of the one that the networks were trained on. The rest: see
    `Labeller` and `Predictor.rule`.

    UserError for an algorithm, a rule or weights that cannot be, and for an algorithm where no network
    reads flow.
    """
    trained = [network.spec.recipe for network in predictor.networks]
    if algorithm is None:
        recipes, notes = predictor.recipes, predictor.notes
    elif not any(network.spec.values.is_displacement for network in predictor.networks):
        raise UserError(
            "no run reads flow, so nothing would compute any: leave it out", "algorithm"
        )
    else:
        recipes = [recipe.with_algorithm(algorithm, options or {}) for recipe in trained]
        flows = {
            recipe.name
            for network, recipe, given in zip(predictor.networks, trained, recipes, strict=True)
            if network.spec.values.is_displacement and recipe != given
        }
        notes = [
            f"trained on flow by {name}, and given flow by {algorithm}: labels may be worse"
            for name in sorted(flows)
        ]
    fusion = predictor.rule(rule, weights) if len(predictor.names) > 1 else None
    return Labeller(predictor, recipes, fusion, seconds, average), notes


def note_on_rate(predictor: Predictor, source: Source) -> str:
    """A sentence where a source runs slower or faster than the videos that trained; else empty."""
    for network in predictor.networks:
        if is_unlike(network.spec, source.rate):
            low, high = network.spec.frame_rates
            return (
                f"{source.name} gives {source.rate:g} frames/s, and the networks were trained on "
                f"{low:g} to {high:g}: their clips last another time here"
            )
    return ""
