"""Values of the newest steps out of Keras' running means."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_port.training import flatten_results


class RunningMeans:
    """Separates the newest steps from the running means of the metrics.

    A Keras metric is a mean since the start of the epoch (keras#17167), so its
    curve lags. Most metrics keep a total and a count; the differences of these
    between two points belong to the steps in between.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        # Not 0, because a resumed epoch has means already.
        self._before = self._read_means()
        # Totals and counts of an ended epoch that are still to be written.
        self._waiting: dict[str, tuple[float, float]] = {}
        self._epoch_ended = False

    def end_epoch(self) -> None:
        """Keeps the values that the end of the epoch resets.

        Only the first call in an epoch has an effect: `fit` validates before
        the epoch ends, and the metrics then hold the results of validation.
        """
        if self._epoch_ended:
            return
        self._epoch_ended = True
        now = self._read_means()
        self._waiting = self._subtract_last(now)
        self._before = now

    def begin_epoch(self) -> None:
        """Continues with metrics that have been reset."""
        self._epoch_ended = False
        self._before = {}

    def get_state(self) -> dict[str, Any]:
        """Returns the newest point, which a resumed training needs."""
        # The next epoch starts with metrics that have been reset.
        before = {} if self._epoch_ended else self._before
        # Lists, because a snapshot holds no tuples.
        return {
            "before": {n: [t, c] for n, (t, c) in before.items()},
            "waiting": {n: [t, c] for n, (t, c) in self._waiting.items()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        # Keras may not have created the metrics yet, so their values cannot be
        # compared with these.
        self._before = {n: (t, c) for n, (t, c) in state["before"].items()}
        self._waiting = {n: (t, c) for n, (t, c) in state["waiting"].items()}

    def since_last(self) -> dict[str, float]:
        """Returns every metric over the steps since the last call, by name.

        A metric that is not a mean, such as an AUC, covers the epoch so far.
        """
        now = self._read_means()
        sums = self._subtract_last(now)
        self._before = now
        self._waiting = {}
        values = {name: total / count for name, (total, count) in sums.items()}
        metrics = list(flatten_metrics(self.model.metrics))
        names = get_names_of_means(metrics)
        if len(names) < len(metrics):
            results = self.model.get_metrics_result()
            for name in results.keys() - set(names):
                values |= flatten_results({name: results[name]})
        return values

    def _subtract_last(
        self, now: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        """Returns totals and counts since the last point that are not 0."""
        sums = {}
        for name, (total, count) in now.items():
            old_total, old_count = self._before.get(name, (0.0, 0.0))
            more_total, more_count = self._waiting.get(name, (0.0, 0.0))
            # Other code has reset the metrics; perhaps after every batch, as
            # a loop of one's own may do.
            is_other = count == old_count and total != old_total
            if count < old_count or is_other:
                old_total, old_count = 0.0, 0.0
            if count > old_count:
                more_total += total - old_total
                more_count += count - old_count
            if more_count:
                sums[name] = (more_total, more_count)
        return sums

    def _read_means(self) -> dict[str, tuple[float, float]]:
        """Returns the total and the count of every mean."""
        metrics = list(flatten_metrics(self.model.metrics))
        names = get_names_of_means(metrics)
        return {
            metric.name: (
                float(metric.total.numpy()),
                float(metric.count.numpy()),
            )
            for metric in metrics
            if metric.name in names
        }


def flatten_metrics(
    metrics: list[keras.metrics.Metric],
) -> Iterator[keras.metrics.Metric]:
    """Yields the metrics, and instead of a group of metrics its members."""
    for metric in metrics:
        inner = getattr(metric, "metrics", None)
        if inner:
            yield from flatten_metrics(inner)
        else:
            yield metric


def is_mean(metric: keras.metrics.Metric) -> bool:
    """Returns whether a metric is a total divided by a count."""
    return (
        isinstance(metric, keras.metrics.Mean)
        and type(metric).result is keras.metrics.Mean.result
    )


def get_names_of_means(metrics: list[keras.metrics.Metric]) -> list[str]:
    """Returns the names of the metrics that are means and have no namesake."""
    names = [metric.name for metric in metrics]
    return [m.name for m in metrics if is_mean(m) and names.count(m.name) == 1]
