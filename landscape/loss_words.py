"""What a loss is called and what it is measured in, wherever one is drawn or written."""

from __future__ import annotations

IN_NATS = ("", "cross-entropy", "next-token", "bce")  # "" is the default, cross-entropy


def loss_label(name: str = "", what: str = "loss") -> str:
    """An axis or a column: ``loss (nats)`` where the loss is an entropy, else the loss by its name, as ``mse loss``.

    Args:
        name: Of the loss, as a result file's header has it; of ``package.module:function`` the function counts.
        what: The quantity, such as ``"test loss"``.
    """
    if name in IN_NATS:
        return f"{what} (nats)"
    return what.replace("loss", loss_word(name))


def loss_word(name: str = "") -> str:
    """``loss``, or ``mse loss`` where it is not cross-entropy."""
    if name in IN_NATS:
        return "loss"
    short = name.split(":")[-1].split(".")[-1]
    return short if short.lower().endswith("loss") else f"{short} loss"


def sal_label(name: str = "", more: str = "") -> str:
    """The axis of a change of the loss: ``SAL (nats)``, or without a unit where the loss has none."""
    words = ", ".join(part for part in ("nats" if name in IN_NATS else "", more) if part)
    return f"SAL ({words})" if words else f"SAL of the {loss_word(name)}"


def in_brackets(name: str = "") -> str:
    """`` (nats)`` behind a quantity that is a change of the loss, or nothing."""
    return " (nats)" if name in IN_NATS else ""


def in_unit(value: str, name: str = "") -> str:
    """A number that is a loss, or a change of one, with its unit if there is one."""
    return f"{value} nats" if name in IN_NATS else value


__all__ = ["in_brackets", "in_unit", "loss_label", "loss_word", "sal_label"]
