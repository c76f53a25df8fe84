"""Scores of several runs, joined by the ids of the videos, never by row."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from twostream.scoring.scores import Scores, ScoresError


def align(many: Sequence[Scores]) -> list[Scores]:
    """The same videos in the same order, that of the first, of runs that may be fused.

    ScoresError, naming the first differences, unless all have the same videos, labels, classes and
    training videos, and are averages of as many clips and crops, and of logits or probabilities alike.
    """
    first = many[0]
    for other in many[1:]:
        pair = f"{first.name} and {other.name}"
        views = [(one.clips, one.crops) for one in (first, other)]
        if all(clips for clips, _ in views) and views[0] != views[1]:
            told = " and ".join("{} clips × {} crops".format(*view) for view in views)
            raise ScoresError(f"{pair} average {told}: evaluate both alike, and fuse those scores")
        if first.average != other.average:
            raise ScoresError(
                f"{pair} average {first.average} and {other.average}: evaluate both alike, and fuse "
                "those scores"
            )
    aligned = same_videos(many)
    for other in aligned[1:]:
        if set(first.trained_on) != set(other.trained_on):
            raise ScoresError(
                f"{first.name} and {other.name} were trained on different splits: "
                f"{_differences(first.trained_on, other.trained_on)}"
            )
    return aligned


def same_videos(many: Sequence[Scores]) -> list[Scores]:
    """The same videos in the same order, that of the first, however the runs were trained.

    Scores that do not know the groups take over those that others of the same videos have.
    ScoresError, naming the first differences, unless all have the same videos, labels, classes and
    groups.
    """
    first = many[0]
    aligned = [first]
    groups = first.groups
    for other in many[1:]:
        pair = f"{first.name} and {other.name}"
        if first.classes != other.classes:
            raise ScoresError(
                f"{pair} have different classes: {_differences(first.classes, other.classes)}"
            )
        if set(first.ids) != set(other.ids):
            raise ScoresError(
                f"{pair} score different videos: {_differences(first.ids, other.ids)}"
            )
        row = {identifier: number for number, identifier in enumerate(other.ids)}
        order = np.array([row[identifier] for identifier in first.ids], np.int64)
        other = replace(
            other,
            ids=first.ids,
            logits=other.logits[order],
            labels=other.labels[order],
            groups=tuple(other.groups[number] for number in order) if other.groups else (),
        )
        wrong = np.flatnonzero(other.labels != first.labels)
        if len(wrong):
            mine, theirs = ((*one.classes, "none")[one.labels[wrong[0]]] for one in (first, other))
            raise ScoresError(
                f"{pair} label {len(wrong)} videos differently, the first is {first.ids[wrong[0]]}: "
                f"{mine} and {theirs}"
            )
        groups = groups or other.groups
        if other.groups and (unlike := np.flatnonzero(np.array(groups) != other.groups)).size:
            raise ScoresError(
                f"{pair} group {len(unlike)} videos differently, the first is {first.ids[unlike[0]]}: "
                f"{groups[unlike[0]]} and {other.groups[unlike[0]]}"
            )
        aligned.append(other)
    return [replace(one, groups=groups) for one in aligned]


def _differences(mine: Sequence[str], theirs: Sequence[str]) -> str:
    if set(mine) == set(theirs):
        return "they are in another order"
    phrases = []
    for word, here, there in (("first", mine, theirs), ("second", theirs, mine)):
        only = sorted(set(here) - set(there))
        if only:
            more = f" and {len(only) - 3} more" if len(only) > 3 else ""
            phrases.append(f"only the {word} has {', '.join(only[:3])}{more}")
    return "; ".join(phrases)
