"""``trust``: let an experiment run code of the user's own."""

from __future__ import annotations

import click


@click.command()
@click.argument("exp")
@click.argument("names", nargs=-1, metavar="PACKAGE.MODULE:FUNCTION...")
def trust(exp: str, names: tuple[str, ...]) -> None:
    """Let experiment EXP run the functions that it names: its network, data, loss or metric of your own.

    Name them all, as a sign that you know that code; it is imported from the present directory, then and later. What
    you named in import or train is granted already. A folder from somebody else runs nothing before this. Where EXP was
    imported without its network or data, and its runs name them, it knows them from then on.

    \b
    Example: unlearnscape trust mine my_code.nets:resnet my_code.data:load
    """
    from experiments import find_experiment
    from experiments.adopting import adopt
    from experiments.own_grants import refusal
    from experiments.own_notes import adopted
    from experiments.spec import own_names
    from experiments.trust import at_terminal, grant

    experiment = find_experiment(exp)
    spec = adopted(experiment)
    wanted = own_names(spec)
    if not wanted:
        raise click.ClickException(f"{experiment.name} names no code of its own; there is nothing to grant.")
    if not at_terminal():
        raise click.ClickException("Code of your own is granted at the terminal alone.")
    if not names:
        raise click.ClickException(refusal(spec))
    if set(names) != set(wanted):
        raise click.ClickException(f"{experiment.name} names {', '.join(wanted)}, not {', '.join(names)}; name these.")
    if spec == experiment.spec:
        grant(experiment.path, spec)
    else:
        adopt(experiment)
    click.echo(f"{experiment.path} may run {', '.join(wanted)}, imported from this directory.")
