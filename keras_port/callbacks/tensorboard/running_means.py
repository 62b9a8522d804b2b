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
        self._before: dict[str, tuple[float, float]] = {}

    def since_last(self) -> dict[str, float]:
        """Returns each metric over the steps since the last call, by name.

        What is no mean, such as an AUC, stands for the epoch so far.
        """
        metrics = list(flat(self.model.metrics))
        names = [metric.name for metric in metrics]
        values: dict[str, float] = {}
        running = False
        for metric in metrics:
            if not is_mean(metric) or names.count(metric.name) > 1:
                running = True
                continue
            total, count = float(metric.total), float(metric.count)
            old_total, old_count = self._before.get(metric.name, (0.0, 0.0))
            if count < old_count:  # A new epoch has begun.
                old_total, old_count = 0.0, 0.0
            self._before[metric.name] = (total, count)
            if count > old_count:
                mean = (total - old_total) / (count - old_count)
                values[metric.name] = mean
        if running:
            results = self.model.get_metrics_result()
            for name in results.keys() - set(names_of_means(metrics)):
                values[name] = float(results[name])
        return values


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
