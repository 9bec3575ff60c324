"""The terminal door: ``python cli.py --help`` lists the commands, which live in ``commands/``."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import click

from commands.app import app
from commands.bench import bench
from commands.check import check
from commands.cross_task import cross_task
from commands.delete import delete, restore
from commands.export import export
from commands.importing import import_
from commands.look import show
from commands.measure import curvature, sal, surface, ud
from commands.poison import poison
from commands.priority import step_back
from commands.report import report
from commands.sensitivity import sensitivity
from commands.standby import stand_by
from commands.train import run, train
from commands.trust import trust
from version import __version__


class Commands(click.Group):
    """Turns every refusal into one sentence and an exit code; a stack trace is never shown."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command under the house's rules for errors and stops."""
        step_back()  # whoever looks at a page comes first, also while a job only imports
        from experiments import ProgressFile, Stopped

        status = ProgressFile.from_environment()
        if status is not None and not status.claim():
            return None
        try:
            result = super().invoke(context)
        except (click.exceptions.Exit, click.Abort):
            raise
        except (Stopped, KeyboardInterrupt):
            _end(status, "stopped", "Stopped; everything finished so far is kept and the same command goes on.")
            click.echo("Stopped; everything finished so far is kept. The same command goes on from here.", err=True)
            raise click.exceptions.Exit(130) from None
        except (click.ClickException, ValueError, OSError, MemoryError, RuntimeError) as error:
            sentence = _sentence(error)
            _end(status, "failed", sentence)
            if os.environ.get("UNLEARNSCAPE_DEBUG"):
                raise
            if isinstance(error, click.ClickException):
                raise
            raise click.ClickException(sentence) from None
        except Exception as error:
            sentence = f"Something unexpected went wrong ({type(error).__name__}: {_sentence(error)})."
            _end(status, "failed", sentence)
            if os.environ.get("UNLEARNSCAPE_DEBUG"):
                raise
            raise click.ClickException(f"{sentence} UNLEARNSCAPE_DEBUG=1 shows where.") from None
        _end(status, "done", "")
        return result


def _end(status: Any, state: str, message: str) -> None:
    if status is not None:
        try:
            status.end(state, message)
        except (OSError, ValueError):
            click.echo("The progress file could not be written.", err=True)
        if state != "stopped":  # by somebody who looks
            _hand_on()


def _hand_on() -> None:
    from experiments import Stopped, jobs

    with contextlib.suppress(Stopped):
        jobs.hand_on()


def _sentence(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'}: {error.strerror}."
    if isinstance(error, MemoryError):
        return "There is not enough memory; use fewer samples (--samples) or a smaller grid (--grid)."
    text = " ".join(str(error).split())
    return text or type(error).__name__


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version=__version__, message="unlearnscape %(version)s", prog_name="unlearnscape")
def main() -> None:
    """See why a network learns, or fails to learn, from a data set.

    An experiment is a folder: clean and poisoned runs of one network, the loss surfaces they walk on, the sharpness
    of every layer (SAL) and the Unlearnable Distance (UD). EXP is such a folder, or its name in $UNLEARNSCAPE_HOME
    (default: experiments_data). Every command skips what exists, and goes on where it was stopped.

    \b
    From nothing to the number:
      unlearnscape run toy-ops          train, SAL, surface and UD in one go
      unlearnscape ud toy-ops --json    the number alone
      unlearnscape app                  look at it
    """
    signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: Any) -> None:
    from experiments import Stopped

    raise Stopped


COMMANDS = (
    run,
    train,
    surface,
    sal,
    ud,
    curvature,
    cross_task,
    bench,
    sensitivity,
    poison,
    show,
    check,
    export,
    report,
    import_,
    trust,
    delete,
    restore,
    app,
)
for _command in (*COMMANDS, stand_by):
    main.add_command(_command)


if __name__ == "__main__":
    main()
