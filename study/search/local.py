"""A search in this process, one trial after the other, without Ray; its trials are those of one Ray worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from study.run.interruption import Interruption
from study.run.local import one_thread, train_packs
from study.search.trial import run_trial
from study.search.trials import OPTUNA_STATES, RUNNING

if TYPE_CHECKING:
    from study.search.search import SearchStudy


@contextmanager
def local_search(study: SearchStudy) -> Iterator[Callable[[Interruption], None]]:
    """Yields what runs the search's trials and then trains the chosen setting's networks."""

    def train(interruption: Interruption) -> None:
        run_trials(study, interruption)
        if not interruption and study.choose():
            train_packs(study, interruption)

    with one_thread():
        yield train


def run_trials(study: SearchStudy, interruption: Interruption) -> None:
    """Until there are enough, or the time is up."""
    search = study.begin_search(interruption)
    while search.wanted:
        suggestion = search.study.ask(study.space.distributions)
        trial = run_trial(
            search.begin(suggestion),
            study.space,
            study.data,
            search.folder,
            study.device,
            lambda: bool(interruption),
            study.options.checkpoint_seconds,
        )
        search.ended(suggestion)
        if trial.state != RUNNING:
            search.study.tell(
                suggestion, trial.values(study.space.options.pareto), OPTUNA_STATES[trial.state]
            )
