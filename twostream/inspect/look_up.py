"""The rows of the table of models: what is known of a model is looked up, and the rest is measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowcache import plugins
from flowcache.errors import UserError
from twostream import models
from twostream.inspect import shipped_table
from twostream.inspect.values import Entry, Input


def look_up(name: str, options: Sequence[str], given: Input) -> Entry:
    """One model's row. UserError where there is no such model, or it cannot take such clips.

    options: of the model, each as "NAME=VALUE".
    """
    entry = None if options else shipped_table.recorded(name, given)
    if entry is None:
        # It imports torch, which takes longer than all the rest.
        from twostream.inspect.measure_models import measure_model

        entry = measure_model(name, options, given)
    return entry


def look_up_all(
    names: Sequence[str],
    options: Sequence[str],
    given: Input,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Entry], dict[str, str]]:
    """The rows of these models, or of all; and by name, why some of all are left out.

    on_progress: called with how many models are done, and of how many.
    UserError where one that is named cannot take such clips, and for options of no named model.
    """
    if options and not names:
        raise UserError(
            "an option belongs to a model: name the model, as in `models c3d`", "options"
        )
    entries, failures = [], {}
    chosen = names or plugins.names(models)
    for number, name in enumerate(chosen):
        on_progress(number, len(chosen))
        try:
            entries.append(look_up(name, options, given))
        except UserError as error:
            if names:
                raise
            failures[name] = str(error)
    return entries, failures


def models_as_plain(entries: Sequence[Entry], failures: Mapping[str, str]) -> list[dict[str, Any]]:
    """What `look_up_all` returns, for JSON: each row as `Entry.as_plain` has it.

    A model that cannot take such clips is {"name": …, "error": …}, at the end.
    """
    errors = [{"name": name, "error": error} for name, error in failures.items()]
    return [*(entry.as_plain() for entry in entries), *errors]
