"""Runs a script in this process, which may be told when to kill itself."""

import dataclasses
import gc
import json
import os
import pathlib
import runpy
import sys

from benchmarks.trials import system_calls


@dataclasses.dataclass(frozen=True)
class Task:
    """A start of a script.

    Args:
        script: Path of the script.
        arguments: Its command line.
        workdir: Its directory.
        logs: Prefix of the files for what it prints, and how many calls it
            makes.
        watch: Whether the calls for files are counted.
        kill_at: Number of the call at which it is killed.
        after: Whether it is killed after the call, not before it.
    """

    script: str
    arguments: list[str]
    workdir: str
    logs: str
    watch: bool = False
    kill_at: int | None = None
    after: bool = False


def run(task: Task) -> None:
    """Runs the script as `python script arguments` does."""
    os.setpgid(0, 0)
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        file = os.open(
            task.logs + suffix, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644
        )
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = [task.script, *task.arguments]
    sys.path.insert(0, str(pathlib.Path(task.script).parent))
    gc.enable()
    watch = system_calls.Watch(
        pathlib.Path(task.workdir), task.kill_at, after=task.after
    )
    if task.watch:
        watch.start()
    try:
        runpy.run_path(task.script, run_name="__main__")
    finally:
        if task.watch:
            with open(task.logs + ".calls", "w") as calls:
                calls.write(str(watch.count))


if __name__ == "__main__":
    run(Task(**json.loads(sys.argv[1])))
