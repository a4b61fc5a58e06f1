"""python -m controller: reads the configuration, puts the adapters in place, serves."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

import faults
from controller.config import DEFAULT_DATA_DIR, DEFAULT_HTTP_LISTEN, MIB, Config
from controller.errors import FlowsnapError

EXIT_FAILED = 1
# Of tests only; see the module faults.
_FAULTS = "FLOWSNAP_FAULTS"


# Store threads hold the interpreter for a while; the loop answers calls meanwhile, and the default is 5 ms.
_SWITCH_INTERVAL_S = 0.0005


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the Shutdown RPC; answers the exit status."""
    config, print_link = _config(arguments)
    _log_json()
    _arm(os.environ.get(_FAULTS, ""))
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        asyncio.run(_serve(config, print_link=print_link))
    except FlowsnapError as error:
        print(f"flowsnap controller: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


async def _serve(config: Config, *, print_link: bool) -> None:
    # What takes long to import comes after the options were understood.
    from controller.datadir import DataDir

    data_dir = DataDir(config)
    data_dir.open()
    try:
        await _serve_on(config, print_link=print_link)
    finally:
        data_dir.close()


async def _serve_on(config: Config, *, print_link: bool) -> None:
    from controller.app import App
    from controller.connectors import connectors
    from controller.db import SqlDatabase, migrate, sqlite_url
    from controller.launcher.docker import DockerLauncher
    from controller.services import Services
    from controller.tokens import AgentTokens
    from store.errors import StoreError
    from store.local import LocalStore

    url = sqlite_url(config.database)
    migrate(url)
    try:
        store = LocalStore(config.store, key_file=config.store_key, durability=config.durability)
    except StoreError as error:
        raise FlowsnapError(str(error)) from error
    database = SqlDatabase(url, durability=config.durability)
    launcher = DockerLauncher(config)
    tokens = AgentTokens.from_file(config.data_dir / "agent.key")
    app = App(Services(config, database, store, launcher, connectors(), tokens))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.shut_down)
    try:
        await app.start()
        if print_link and (link := await app.web_link()):
            print(f"  page    {link}", flush=True)
        await app.serve()
    finally:
        database.close()


def _config(arguments: Sequence[str] | None) -> tuple[Config, bool]:
    """The configuration, and whether a link to the page is wanted."""
    default = Config()
    parser = argparse.ArgumentParser(prog="python -m controller", description="The flowsnap controller.")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, help="all its state (%(default)s)")
    parser.add_argument("--image", default=default.container_image, help="execution image (%(default)s)")
    parser.add_argument("--network", default=default.network, help="the containers' network (%(default)s)")
    parser.add_argument(
        "--memory-mib", type=_positive, default=default.memory_limit_bytes // MIB, help="per execution (%(default)s)"
    )
    parser.add_argument("--pids-limit", type=_positive, default=default.pids_limit, help="per execution (%(default)s)")
    parser.add_argument(
        "--on-store-full",
        choices=("wait", "fail"),
        default=default.on_store_full,
        help="a call waits for room, or raises SavepointError in the flow (%(default)s)",
    )
    parser.add_argument(
        "--durability",
        choices=("host", "process"),
        default=default.durability,
        help="savepoints survive a power cut, or everything but that (%(default)s)",
    )
    parser.add_argument(
        "--store-key",
        type=Path,
        metavar="FILE",
        help="what seals the savepoint images; made when the store is empty (store.key in the data directory)",
    )
    parser.add_argument(
        "--script-load-limit",
        type=_positive,
        default=default.script_load_limit,
        help="loads by load_dump that end an execution as a loop (%(default)s)",
    )
    parser.add_argument(
        "--park-after",
        type=_seconds_or_off,
        default=default.park_after_s,
        metavar="SECONDS|off",
        help="executions that wait longer give their containers back meanwhile (%(default)s)",
    )
    parser.add_argument(
        "--usage-every",
        type=_seconds_or_off,
        default=default.usage_every_s,
        metavar="SECONDS|off",
        help="how often it is looked at what executions use (%(default)s)",
    )
    parser.add_argument(
        "--recovery-strikes",
        type=_positive,
        default=default.recovery_strikes,
        help="losses of a process in a row, without a further savepoint, that end its execution (%(default)s)",
    )
    parser.add_argument(
        "--recovery-limit",
        type=_positive,
        default=default.recovery_limit,
        help="losses of a process by its own doing that end its execution, with savepoints in between or without"
        " (%(default)s)",
    )
    parser.add_argument(
        "--depth-limit",
        type=_positive,
        default=default.depth_limit,
        help="how deep child executions may be nested (%(default)s)",
    )
    parser.add_argument(
        "--env-name", default=default.env_name, help="what flows get from system.get_env_name() (%(default)s)"
    )
    parser.add_argument(
        "--http-listen",
        default=DEFAULT_HTTP_LISTEN,
        metavar="HOST:PORT",
        help="of the web page and the webhooks, or off (%(default)s)",
    )
    parser.add_argument(
        "--http-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which browsers reach the page, through a proxy for instance; may be given several times",
    )
    parser.add_argument("--print-link", action="store_true", help="print a link to the web page when it is ready")
    options = parser.parse_args(arguments)
    config = Config(
        data_dir=options.data_dir.absolute(),
        container_image=options.image,
        network=options.network,
        memory_limit_bytes=options.memory_mib * MIB,
        pids_limit=options.pids_limit,
        on_store_full=options.on_store_full,
        script_load_limit=options.script_load_limit,
        park_after_s=options.park_after,
        usage_every_s=options.usage_every,
        recovery_strikes=options.recovery_strikes,
        recovery_limit=options.recovery_limit,
        depth_limit=options.depth_limit,
        env_name=options.env_name,
        durability=options.durability,
        store_key=options.store_key.absolute() if options.store_key else None,
        http_listen="" if options.http_listen == "off" else options.http_listen,
        http_hosts=tuple(options.http_host),
    )
    return config, options.print_link


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _arm(plan: str) -> None:
    try:
        faults.arm(plan, "controller")
    except ValueError as error:
        raise SystemExit(f"flowsnap controller: {_FAULTS}: {error}") from error
    if plan:
        logging.getLogger(__name__).warning("%s is set: this controller and its agents are to die of %s", _FAULTS, plan)


def _seconds_or_off(text: str) -> float | None:
    if text == "off":
        return None
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def _log_json() -> None:
    """One JSON object per line on stderr, from whichever library."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # It tells each step of its own start.
    logging.getLogger("alembic").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
