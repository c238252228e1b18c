"""Candidates that Optuna samples from spaces; nothing else here imports Optuna.

Its sampler is the tree-structured Parzen estimator over all parameters of a classifier together,
and its median pruner ends a trial whose mean over the folds so far is worse than the median of
earlier trials over as many folds.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
import orjson
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from service.common.search import Trial
from service.worker.learning import classifiers
from service.worker.learning.spaces import Choices, Dimension, Space
from service.worker.search.scoreboard import mean
from service.worker.search.trials import WHOLE, Proposal, Share

_MOST_REPEATS = 50
"""Samples in a row that were tried before, after which there is taken to be nothing new."""
_TYPE = "model_type"


class SampledCandidates:
    """Proposes what Optuna samples, beginning with scikit-learn's defaults within the space."""

    def __init__(
        self,
        spaces: Mapping[str, Space],
        seed: int,
        *,
        lower_is_better: bool,
        parallel: int,
        share: Share = WHOLE,
    ) -> None:
        """Search the space of each classifier, in parallel if more than one trial runs at once.

        Each of several pods has a seed of its own, and the first one tries the defaults.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spaces = spaces
        self._types = tuple(spaces)
        with warnings.catch_warnings():
            # What Optuna calls experimental is pinned in the lock file.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(
                direction="minimize" if lower_is_better else "maximize",
                sampler=optuna.samplers.TPESampler(
                    seed=seed + share.index,
                    multivariate=True,
                    group=True,
                    constant_liar=parallel > 1,
                ),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            )
        self._open: dict[int, tuple[optuna.Trial, bytes]] = {}
        self._known: dict[bytes, float | None] = {}
        """The value of each candidate that has ended, by its key; None where it has none."""
        self._share = share
        self._count = 0
        for index, name in enumerate(self._types if share.index == 0 else ()):
            self._study.enqueue_trial({_TYPE: index, **_defaults(name, spaces[name])})

    def propose(self) -> Proposal | None:
        """Return a candidate that was not tried before; None where there seems to be none."""
        for _ in range(_MOST_REPEATS):
            trial = self._study.ask()
            index = trial.suggest_categorical(_TYPE, range(len(self._types)))
            name = self._types[index]
            space = self._spaces[name]
            params = {key: _suggest(trial, f"{name}.{key}", one) for key, one in space.items()}
            key = _key(name, params)
            if key not in self._known and all(key != other for _, other in self._open.values()):
                number = self._share.number(self._count)
                self._count += 1
                self._open[number] = trial, key
                return Proposal(number, name, params)
            self._tell(trial, self._known.get(key))
        return None

    def is_hopeless(self, number: int, fold: int, mean: float) -> bool:
        """Return whether earlier trials did better over as many folds."""
        trial, _ = self._open[number]
        trial.report(mean, fold)
        return trial.should_prune()

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """Learn the end of a trial."""
        trial, key = self._open.pop(number)
        self._known[key] = value
        if pruned:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._tell(trial, value)

    def learn(self, trial: Trial) -> None:
        """Learn of a trial that was made elsewhere, or before this process, and has ended."""
        if self._share.holds(trial.number):
            self._count = max(self._count, 1 + (trial.number - 1) // self._share.pods)
        key = _key(trial.model_type, trial.params)
        space = self._spaces.get(trial.model_type)
        if space is None or key in self._known or trial.params.keys() != space.keys():
            return
        self._known[key] = trial.value
        if trial.state not in ("complete", "pruned"):
            return
        index = self._types.index(trial.model_type)
        params: dict[str, Any] = {_TYPE: index}
        distributions: dict[str, BaseDistribution] = {
            _TYPE: CategoricalDistribution(range(len(self._types)))
        }
        for name, dimension in space.items():
            value = trial.params[name]
            if isinstance(dimension, Choices):
                value = dimension.values.index(value)
            params[f"{trial.model_type}.{name}"] = value
            distributions[f"{trial.model_type}.{name}"] = _distribution(dimension)
        states = optuna.trial.TrialState
        self._study.add_trial(
            optuna.trial.create_trial(
                state=states.PRUNED if trial.value is None else states.COMPLETE,
                params=params,
                distributions=distributions,
                value=trial.value,
                intermediate_values={
                    fold: mean(trial.values[: fold + 1]) for fold in range(len(trial.values))
                },
            )
        )

    def _tell(self, trial: optuna.Trial, value: float | None) -> None:
        if value is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, value)


def _key(name: str, params: Mapping[str, Any]) -> bytes:
    return orjson.dumps([name, params], option=orjson.OPT_SORT_KEYS)


def _distribution(dimension: Dimension) -> BaseDistribution:
    """Return what `_suggest` draws from."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution(range(len(dimension.values)))
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        # By place, since Optuna takes no lists for values.
        return dimension.values[trial.suggest_categorical(name, range(len(dimension.values)))]
    if dimension.whole:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def _defaults(name: str, space: Space) -> dict[str, Any]:
    """Return scikit-learn's default of each parameter whose dimension holds it, for Optuna."""
    found: dict[str, Any] = {}
    for key, dimension in space.items():
        default = classifiers.model_type(name).params[key].default
        default = list(default) if isinstance(default, tuple) else default
        if not dimension.holds(default):
            continue
        if isinstance(dimension, Choices):
            default = dimension.values.index(default)
        found[f"{name}.{key}"] = default
    return found
