"""What was written for TensorFlow 1, and under which names."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """Tells what was written, and how a TensorFlow 1 session uses it.

    Args:
        prefix: Prefix of the files, for `Saver.restore`; the graph is in
            `<prefix>.meta`.
        variables: Pairs of a path in the model, its optimizer or `None`, and
            the TensorFlow 1 name.
        inputs: Names of the placeholders, such as `"images:0"`; empty without
            a forward pass.
        outputs: Names of the predictions, such as `"output:0"`; empty without
            a forward pass.
        step: Updates of the optimizer, or `None` without one.

    Example:

    >>> export = save_checkpoint(model, "export/model.ckpt")
    >>> export.inputs, export.outputs
    (('images:0',), ('output:0',))
    """

    prefix: str
    variables: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    step: int | None

    def __str__(self) -> str:
        step = "none" if self.step is None else f"{self.step:,}"
        lines = [f"{self.prefix}: step count {step}"]
        lines += [f"  {path} -> {name}" for path, name in self.variables]
        if self.inputs:
            lines.append(f"  feed {', '.join(self.inputs)}")
            lines.append(f"  fetch {', '.join(self.outputs)}")
        return "\n".join(lines)
