"""Step values out of Keras' running means."""

from collections.abc import Iterator
from typing import Any

import keras


class RunningMeans:
    """Takes the newest steps' part out of the metrics' running means.

    A metric of Keras is a mean since the epoch began (keras#17167), so its
    curve lags behind. Most metrics keep a total and a count; the differences
    of these are those of the steps in between.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        # A resumed epoch has its means already.
        self._before = self._means()
        self._waiting: dict[str, tuple[float, float]] = {}

    def end_epoch(self) -> None:
        """Keeps what the end of the epoch, or an evaluation, takes away."""
        now = self._means()
        self._waiting = self._since_last(now)
        self._before = now

    def begin_epoch(self) -> None:
        """Goes on with means that begin anew."""
        self._before = {}

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed training must know of the newest point."""
        return {"before": self._before, "waiting": self._waiting}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        now = self._means()
        self._before = {
            name: (total, count)
            for name, (total, count) in state["before"].items()
            # Unless an epoch has ended there, and the means begin anew.
            if count <= now.get(name, (0.0, 0.0))[1]
        }
        self._waiting = {n: (t, c) for n, (t, c) in state["waiting"].items()}

    def since_last(self) -> dict[str, float]:
        """Returns each metric over the steps since the last call, by name.

        What is no mean, such as an AUC, stands for the epoch so far.
        """
        now = self._means()
        sums = self._since_last(now)
        self._before = now
        self._waiting = {}
        values = {name: total / count for name, (total, count) in sums.items()}
        metrics = list(flat(self.model.metrics))
        if len(names_of_means(metrics)) < len(metrics):
            results = self.model.get_metrics_result()
            for name in results.keys() - set(names_of_means(metrics)):
                values[name] = float(results[name])
        return values

    def _since_last(
        self, now: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        """Returns totals and counts since the last point, where any came."""
        sums = {}
        for name, (total, count) in now.items():
            old_total, old_count = self._before.get(name, (0.0, 0.0))
            more_total, more_count = self._waiting.get(name, (0.0, 0.0))
            if count < old_count:  # Somebody has reset the metrics.
                old_total, old_count = 0.0, 0.0
            if count > old_count:
                more_total += total - old_total
                more_count += count - old_count
            if more_count:
                sums[name] = (more_total, more_count)
        return sums

    def _means(self) -> dict[str, tuple[float, float]]:
        """Returns total and count of each mean."""
        metrics = list(flat(self.model.metrics))
        names = names_of_means(metrics)
        return {
            metric.name: (
                float(metric.total.numpy()),
                float(metric.count.numpy()),
            )
            for metric in metrics
            if metric.name in names
        }


def flat(metrics: list[Any]) -> Iterator[Any]:
    """Yields the metrics inside of those of `compile`."""
    for metric in metrics:
        inner = getattr(metric, "metrics", None)
        if inner:
            yield from flat(inner)
        else:
            yield metric


def is_mean(metric: Any) -> bool:
    """Tells a metric that is a total divided by a count, and no more."""
    return (
        isinstance(metric, keras.metrics.Mean)
        and type(metric).result is keras.metrics.Mean.result
    )


def names_of_means(metrics: list[Any]) -> list[str]:
    """Returns the names of those metrics that are means, each name once."""
    names = [metric.name for metric in metrics]
    return [m.name for m in metrics if is_mean(m) and names.count(m.name) == 1]
