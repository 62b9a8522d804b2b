"""The results of one training."""

import dataclasses
import pathlib

from keras_port.runs._json_file import read_json

EARLY_STOPPING = "early stopping"
MAX_STEPS = "max_steps"
CALLBACK = "a callback"


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of one training, as `results.json` holds them.

    `Run.finish` returns them. They describe the best weights, which the model
    has after the training if `StepEarlyStopping` restores them.

    Args:
        steps: Updates of the weights.
        best_step: Step with the best validation, 0 if there was no validation.
        validation_accuracy: With the weights of that step.
        test_accuracy: With the same weights.
        seconds: Wall time of `Run.fit`, of all starts together, without the
            steps that a kill has lost.
        examples_per_second: Training examples per second after the first call,
            with validation, saving and logging included. 0 if the batches
            have no fixed size.
        dataset: Where the images came from.
        ended_by: "early stopping", "max_steps", the name of a signal, or
            "a callback" for another callback that has stopped the training.

    Example:

    >>> results = Results(
    ...     steps=20_000,
    ...     best_step=10_900,
    ...     validation_accuracy=0.993,
    ...     test_accuracy=0.9919,
    ...     seconds=930.0,
    ...     examples_per_second=2150.0,
    ...     dataset="MNIST",
    ...     ended_by="SIGINT",
    ... )
    >>> results.finished
    False
    """

    steps: int
    best_step: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    examples_per_second: float
    dataset: str
    ended_by: str

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end."""
        return self.ended_by in (EARLY_STOPPING, MAX_STEPS)

    def is_final(self, max_steps: int) -> bool:
        """Whether a run of at most `max_steps` steps has nothing left to do.

        Args:
            max_steps: Steps of the run. More of them than before continue a
                run that these steps ended, but not one that stopped early.
        """
        if self.ended_by == MAX_STEPS:
            return max_steps <= self.steps
        return self.finished


def read_results(path: pathlib.Path) -> Results:
    """Returns the content of `results.json`.

    Raises:
        ValueError: If it holds something else.
    """
    content = read_json(path)
    for field in dataclasses.fields(Results):
        value = content.get(field.name)
        kind = int | float if field.type is float else field.type
        if not isinstance(value, kind):  # type: ignore[arg-type]
            raise ValueError(
                f"{path} is broken: it has {field.name}={value!r}. Move it "
                "away, or choose another directory."
            )
    if unknown := set(content) - {f.name for f in dataclasses.fields(Results)}:
        raise ValueError(
            f"{path} is broken: it has {', '.join(sorted(unknown))}. Move it "
            "away, or choose another directory."
        )
    return Results(**content)
