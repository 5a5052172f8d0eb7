"""``vpoller call``: ask once, print the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vpoller_like.cli.arguments import parse_arguments, read_stdin
from vpoller_like.cli.credentials import connected, key_options, with_key_files
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.output import emit, output_option
from vpoller_like.cli.session import Session

if TYPE_CHECKING:
    from vpoller_like.client import LocalClient, VPollerClient
    from vpoller_like.config import Settings

#: Requests that --each leaves unanswered at once, unless told.
WINDOW = 64


@click.command("call")
@click.argument("method", required=False)
@click.argument("parameters", nargs=-1, metavar="[KEY=TEXT | KEY:=JSON]...")
@click.option("-H", "--host", metavar="NAME", help="The hostname that the method is for.")
@click.option("--timeout", type=int, metavar="MS", help="Milliseconds per try.")
@click.option("--retries", type=int, metavar="N", help="How often to send it in all.")
@click.option("--endpoint", multiple=True, metavar="EP", help="A broker; again for the next one.")
@click.option("--local", is_flag=True, help="Run it in this process, without a broker.")
@click.option("--agents", metavar="NAME,NAME", help="With --local: the agents to load.")
@click.option("--stdin/--no-stdin", default=None, help="Wait for a JSON object there, or do not.")
@click.option("--each", is_flag=True, help="Ask for each line of stdin, a JSON object.")
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"With --each: how many may be unanswered at once; {WINDOW} unless given.",
)
@click.option("--fail-fast", is_flag=True, help="With --each: end at the first failure.")
@key_options("client")
@output_option
@click.pass_obj
def command(
    session: Session,
    method: str | None,
    parameters: tuple[str, ...],
    host: str | None,
    timeout: int | None,
    retries: int | None,
    endpoint: tuple[str, ...],
    local: bool,
    agents: str | None,
    stdin: bool | None,
    each: bool,
    window: int | None,
    fail_fast: bool,
    output: str | None,
) -> int:
    """Ask for METHOD and print its result.

    A parameter is KEY=TEXT, or KEY:=JSON for anything but text. A JSON object on stdin is
    taken too, under the parameters; with "-" for METHOD it names the method as well.

    \b
    vpoller call system.status
    vpoller call vm.get -H vc01 name=db1 properties:='["name"]'
    echo '{"data": [1, 2]}' | vpoller call system.echo
    vpoller call --each < requests.jsonl > replies.jsonl

    With --each, every line of stdin is a request, and gets its reply as a line of JSON, in
    order. METHOD, -H and parameters hold for the lines that do not say them.
    """
    settings = session.load(
        client__endpoints=list(endpoint) or None,
        client__timeout=timeout,
        client__retries=retries,
        worker__agents=agents,
    ).settings
    if each:
        from vpoller_like.cli.each import Each, fallback, stdin_fileno

        many = Each(fallback(method, host, parameters), window or WINDOW, output, fail_fast)
        fileno = stdin_fileno(stdin)
        with _client(settings, local) as client:
            return many.run(client, fileno)
    if window is not None or fail_fast:
        raise click.UsageError("--window and --fail-fast go with --each")
    request = build_request(method, host, parameters, stdin)
    with _client(settings, local) as client:
        return report(client.run(request), output)


def build_request(
    method: str | None, host: str | None, parameters: tuple[str, ...], stdin: bool | None
) -> dict[str, Any]:
    """Return the request; raise ``click.UsageError`` where it cannot be made.

    What is on the command line goes before what is on stdin.
    """
    if method is None:
        raise click.MissingParameter(param_hint="'METHOD'", param_type="argument")
    said = parse_arguments(parameters)
    request = read_stdin(True if method == "-" else stdin) | said
    if method != "-":
        request["method"] = method
    elif not isinstance(request.get("method"), str):
        raise click.UsageError('with "-" for METHOD, the object on stdin needs a "method"')
    if host is not None:
        request["hostname"] = host
    return request


def report(reply: dict[str, Any], output: str | None) -> int:
    """Print the reply's result, or say its error; return the exit code."""
    if reply.get("success", 0) == 0:
        # A plain worker may answer without our envelope: what it said is then the result.
        emit(reply.get("result", reply), output)
        return Exit.OK
    return fail(reply)


def _client(settings: Settings, local: bool) -> VPollerClient | LocalClient:
    # Here, and apart: neither waits for what the other needs.
    if local:
        from vpoller_like.agent.vault import guard_logs
        from vpoller_like.client import LocalClient

        guard_logs()
        return LocalClient(settings.worker.agents, settings=settings.agents)
    client = with_key_files(settings)
    return connected(client.endpoints, client)
