"""The fusion rules side by side: what each gains, fitted on few videos that training held back.

    python benchmarks/fusion_rules.py [--draws 300]
    python benchmarks/fusion_rules.py runs/spatial,runs/temporal runs/other,runs/temporal

Without runs two streams are drawn again and again: 2 to 16 classes, 12 to 50 held-out videos and 2000
test videos. The logits are normal noise, which the streams may share in part. The label stands out of it
by 1 to 4 standard deviations in one stream, and by nothing to as much in the other. How sure a stream is
differs from how right it is by a factor e^x, x normal with mean 0.3 and standard deviation 0.7. Of pairs
of runs the test scores are fused, and the validation scores are what is held back.

"Below" is the share of the cases in which a rule is more than one video in a hundred below the better
stream. A rule with shares stands there with equal ones and with fitted ones.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import numpy as np

from flowcache.errors import UserError
from twostream import fusion
from twostream.scoring.metrics import negative_log_likelihood
from twostream.scoring.of_runs import held_out_scores_of, scores_of
from twostream.scoring.scores import Scores

Case = tuple[Sequence[Scores], Sequence[Scores]]
"""Scores of the test videos, and of those that were held back."""


def drawn(seed: int) -> Case:
    """Two streams; see above."""
    rng = np.random.default_rng(seed)
    k = int(rng.choice([2, 5, 6, 16]))
    tells = rng.uniform(1, 4) * rng.permutation([1, rng.uniform(0, 1)])
    sureness = np.exp(rng.normal(0.3, 0.7, 2)) * np.maximum(tells, 0.3)
    common_part = rng.choice([0, 0.3])

    def streams(part: str, n: int) -> list[Scores]:
        labels = rng.permutation(np.arange(n) % k)
        both = rng.normal(0, common_part**0.5, (n, k))
        made = []
        for name, tell, sure in zip("ab", tells, sureness, strict=True):
            logits = both + rng.normal(0, (1 - common_part) ** 0.5, (n, k))
            logits[np.arange(n), labels] += tell
            ids = tuple(f"{part}/{i}" for i in range(n))
            classes = tuple(map(str, range(k)))
            made.append(Scores(name, ids, (sure * logits).astype(np.float32), labels, classes, ()))
        return made

    return streams("test", 2000), streams("held out", int(rng.choice([12, 30, 50])))


def of_runs(pair: str) -> Case:
    """The scores of two runs."""
    folders = [Path(name) for name in pair.split(",")]
    return scores_of(folders), held_out_scores_of(folders)


def results(case: Case) -> Iterator[tuple[str, float, float, float]]:
    """Name, top-1, the same less that of the better stream, and likelihood, of every rule."""
    streams, held_out = case
    names = [one.name for one in streams]
    better = max(one.top(1) for one in streams)
    for rule in fusion.names():
        ways: dict[str, fusion.Weights] = {"equal": (), "fitted": "fit"}
        for how, weights in ways.items():
            try:
                ready = fusion.rule_for(rule, names, weights, held_out)
            except UserError:  # a class was not held back
                continue
            if ready.shares is None and how == "fitted":
                continue
            fused = ready(streams)
            top1 = fused.top(1)
            label = rule if ready.shares is None else f"{rule}, {how} shares"
            yield label, top1, top1 - better, negative_log_likelihood(fused)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*", metavar="RUN,RUN")
    parser.add_argument("--draws", type=int, default=300)
    given = parser.parse_args()
    cases = map(of_runs, given.pairs) if given.pairs else map(drawn, range(given.draws))
    found: dict[str, list[tuple[float, float, float]]] = {}
    for case in cases:
        for name, *values in results(case):
            found.setdefault(name, []).append((values[0], values[1], values[2]))
    plain = np.mean([top1 for top1, *_ in found["softmax, equal shares"]])
    rows = []
    for name, each in sorted(found.items(), key=lambda item: -np.mean(item[1], 0)[0]):
        top1, gains, likelihoods = np.array(each).T
        rows.append(
            [
                name,
                str(len(each)),
                f"{100 * top1.mean():.1f}",
                f"{100 * (top1.mean() - plain):+.1f}",
                f"{100 * gains.mean():+.1f}",
                f"{100 * gains.min():+.1f}",
                f"{100 * (gains < -0.01).mean():.0f} %",
                f"{likelihoods.mean():.2f}",
            ]
        )
    header = "rule, cases, top-1, over plain average, over better stream, worst, below, NLL"
    print(common.table(header.split(", "), rows))


if __name__ == "__main__":
    main()
