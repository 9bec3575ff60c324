"""What is said where a spec names code of the user's own: why it is not run, and the command that grants it."""

from __future__ import annotations

from experiments.spec import ExperimentSpec, own_names


def refusal(spec: ExperimentSpec) -> str:
    """Why the code that a spec names is not run, and the command that grants it."""
    names = own_names(spec)
    return (
        f"{spec.name} names code of its own ({', '.join(names)}), which is not run before you grant it; if you know "
        f"that code: {granting(spec)}"
    )


def granting(spec: ExperimentSpec) -> str:
    """The command that grants what a spec names."""
    return f"trust {quoted(spec.grant.folder or spec.name)} {' '.join(own_names(spec))}"


def quoted(path: str) -> str:
    """A path as it is typed in a command."""
    return f'"{path}"' if " " in path else path
