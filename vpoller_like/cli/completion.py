"""``vpoller completion``: the script that lets a shell complete ``vpoller``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from vpoller_like.cli.output import emit_text

VARIABLE = "_VPOLLER_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: vpoller completion bash > ~/.local/share/bash-completion/completions/vpoller
    zsh:  vpoller completion zsh > a directory of $fpath, as _vpoller
    fish: vpoller completion fish > ~/.config/fish/completions/vpoller.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"this click has no completion for {shell}")
    emit_text(script(ctx.find_root().command, {}, "vpoller", VARIABLE).source())
