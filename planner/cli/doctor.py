"""``planner doctor``: whether everything is there that the planner needs, from this desk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.app import EXIT_DONE, EXIT_ERROR, app, report, run_async
from planner.errors import ServerError

if TYPE_CHECKING:
    from planner.cli.checks import Check


@app.command()
def doctor(
    cloud: Annotated[
        bool | None,
        typer.Option(
            "--cloud/--no-cloud",
            help="Check the Cloud API with the worker's keys; without it, where a key is set.",
        ),
    ] = None,
) -> None:
    """Check what the planner needs: server, rights, schedules, workers, keys.

    Run it with CI's identity, and with the worker's. Nothing is changed. A line for each
    check; exits with 1 if one fails.
    """
    from workflows.cloud.keys import given_variables

    run_async(examine(cloud=bool(given_variables(os.environ)) if cloud is None else cloud))


async def examine(*, cloud: bool) -> int:
    """Print a line for each check, and return the exit code."""
    checks = await _checks(cloud=cloud)
    for check in checks:
        report(f"{'ok    ' if check.is_fine else 'FAILED'}  {check.text}")
    if not cloud:
        report("-       the Cloud API was not asked: no key is set, or --no-cloud")
    return EXIT_DONE if all(check.is_fine for check in checks) else EXIT_ERROR


async def _checks(*, cloud: bool) -> list[Check]:
    """Return every check that can be made: a failure hides only what it makes impossible."""
    from planner.cli.checks import Check, check_polls, check_temporal
    from planner.temporal.client import connect, server_of

    checks: list[Check] = []
    namespaces: tuple[str, ...] = ()
    try:
        server = server_of(await connect())
    except ServerError as error:
        checks.append(Check("temporal", str(error), False))
    else:
        found, namespaces = await check_temporal(server)
        checks += found
        if all(check.is_fine for check in found):
            checks.append(await check_polls(server))
    if cloud:
        checks += await _cloud_checks(namespaces)
    return checks


async def _cloud_checks(namespaces: tuple[str, ...]) -> list[Check]:
    """Check the keys, and what each lets be read."""
    from planner.cli.checks import Check, check_cloud
    from planner.cli.worker import open_cloud
    from workflows.cloud import CloudError, keys_from, require_keys

    try:
        own = require_keys(keys_from(os.environ))
        async with open_cloud() as client:
            return await check_cloud(client, {*namespaces, *own})
    except (CloudError, ServerError) as error:
        return [Check("key", str(error), False)]
