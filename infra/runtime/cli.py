"""The command `rumblestrip`. Every import of weight waits until its command runs, so that --help answers at once."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from infra.runtime.rooms import ROOMS, SUB_COMMANDS, resolve

if TYPE_CHECKING:
    from infra.runtime.replay import Options
    from infra.settings import Settings

USAGE, FAILURE, INTERRUPTED = 2, 1, 130
_SUB_HELP = {
    "services": "Kafka and TimescaleDB on this machine, without Docker.",
    "devices": "Devices and their tokens.",
    "tag": "Tags of vehicles, which have scores of their own.",
    "users": "Accounts of the dashboard.",
    "judge": "Judge recorded drives on their own: trips, events, scores. Starts nothing.",
    "roads": "Posted limits from OpenStreetMap: tiles for judge --roads and the room scoring.",
    "watch": "Look at a video, pictures or a camera with the worker's eyes. Starts nothing.",
    "eyes": "Look over drives and stored footage again with the present models; nothing live is changed.",
    "scores": "Scores of any window under every formula, and their ledger as CSV.",
    "rescore": "What other weights or thresholds would change, before anyone switches.",
    "export": "Stored telemetry as Parquet files, by lane and day.",
}


class LazyGroup(TyperGroup):
    """Sub-commands of other rooms: listed from a table, imported when called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *SUB_COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _listed(cmd_name) if cmd_name in SUB_COMMANDS else super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in SUB_COMMANDS:
            return args[0], _loaded(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _loaded(name: str) -> Any:
    sub_app = resolve(SUB_COMMANDS[name])
    sub_app._add_completion = False  # the whole command has it
    return typer.main.get_command(sub_app)


def _listed(name: str) -> Any:
    stand_in = typer.Typer(help=_SUB_HELP[name])
    stand_in.callback()(lambda: None)
    command = typer.main.get_command(stand_in)
    command.name = name
    return command


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")


Folders = Annotated[list[Path], typer.Argument(help="Recorded drives, or folders that hold some.")]
SpeedOption = Annotated[str, typer.Option(help="Times real time (1, 10, …), or max: as fast as acknowledged.")]
AgainOption = Annotated[bool, typer.Option(help="Send also what the gateway has acknowledged before.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON bodies. Default: Arrow.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"rumblestrip {installed('rumblestrip')}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.", exists=True, dir_okay=False)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept. Default: .rumblestrip")] = None,
    debug: Annotated[bool, typer.Option(help="Show where an error came from.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """The open safety desk of a vehicle fleet.

    Settings come from RUMBLESTRIP_* variables or a file; `rumblestrip doctor --settings` lists them.

    Start here: `rumblestrip demo`
    """
    given = {"CONFIG": config, "DATA_DIR": data_dir}
    os.environ.update({f"RUMBLESTRIP_{name}": str(path.absolute()) for name, path in given.items() if path})
    _Debug.on = debug


class _Debug:
    on = False


@app.command()
def demo(
    drives: Annotated[list[Path] | None, typer.Argument(help="Drives to replay. Default: those in the box.")] = None,
    serve: Annotated[bool, typer.Option(help="Serve the dashboard afterwards.")] = True,
    speed: SpeedOption = "max",
    again: AgainOption = False,
    json: JsonOption = False,
) -> None:
    """Start everything in one process, replay recorded drives through the gateway, and show what came of them.

    Example: rumblestrip demo --no-serve
    """
    from infra.runtime.demo import DEMO_DRIVES, run_demo

    settings = _settings()
    run_demo(settings, _console(), _options(speed, again, json, "local"), serve=serve, folders=drives or [DEMO_DRIVES])


@app.command()
def up() -> None:
    """Start everything in one process, and serve until Ctrl-C.

    Example: rumblestrip --data-dir /var/lib/fleet up
    """
    from infra.runtime.demo import run_up

    run_up(_settings(), _console())


@app.command()
def run(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(ROOMS)}.")],
    metrics_port: Annotated[int, typer.Option(help="Serve Prometheus metrics of a worker there; 0: not.")] = 0,
) -> None:
    """Run one service on Kafka and TimescaleDB; start as many of each as the lanes allow.

    Example: RUMBLESTRIP_BUS=kafka RUMBLESTRIP_DATABASE_URL=postgresql://… rumblestrip run scoring
    """
    from infra.runtime.single import run_service

    if service not in ROOMS:
        raise typer.BadParameter(f"{service!r} is not one of {', '.join(ROOMS)}")
    run_service(service, _settings(), metrics_port)


@app.command()
def replay(
    drives: Folders,
    url: Annotated[str, typer.Option(help="The gateway's address. Default: the one in the settings.")] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="RUMBLESTRIP_REPLAY_TOKEN",
            help="The device's token; better in the variable, which `ps` does not show. "
            "Default: devices are registered in the database.",
        ),
    ] = "",
    speed: SpeedOption = "max",
    again: AgainOption = False,
    json: JsonOption = False,
) -> None:
    """Send recorded drives to a running gateway as a device would: stored until acknowledged, retried, in order.

    A drive is moved by whole weeks into the last one. A second run sends only what is not acknowledged yet.

    Example: rumblestrip replay my-drive --url http://localhost:8600
    """
    from infra.clock import SystemClock
    from infra.drives import find_drives
    from infra.runtime.demo import print_reports, register
    from infra.runtime.replay import replay as send

    settings, found = _settings(), find_drives(drives)
    where = url or f"http://{settings.gateway_host}:{settings.gateway_port}"
    journals = settings.data_dir / "replay"
    sending = _options(speed, again, json, "")
    if token:
        reports = send(found, where, lambda _: token, journals, SystemClock(), sending)
    else:
        with _database(settings) as engine:
            tokens = register(engine, found)
            reports = send(found, where, tokens, journals, SystemClock(), sending)
    print_reports(_console(), reports)
    if any(report.refused for report in reports):
        raise typer.Exit(FAILURE)


@app.command("import")
def import_(
    table: Annotated[Path, typer.Argument(help="A CSV (also .gz) with GPS, a GPX track, or a phone logger's folder.")],
    folder: Annotated[Path, typer.Argument(help="The drive folder to write.")],
    vehicle: Annotated[str, typer.Option(help="The vehicle's id.")],
    imu: Annotated[Path | None, typer.Option(help="A CSV with accelerations. Default: columns of TABLE.")] = None,
    gyro: Annotated[Path | None, typer.Option(help="A CSV with rotation rates. Default: columns of IMU.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video (mp4, avi), or a folder of JPEGs in order.")] = None,
    map_: Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN:UNIT; -COLUMN turns the sign.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE: take only such rows of TABLE.")] = None,
    from_: Annotated[float, typer.Option("--from", help="Leave out what is before, in s after the first row.")] = 0.0,
    to: Annotated[float, typer.Option(help="Leave out what is after, in s.")] = float("inf"),
    zone: Annotated[str, typer.Option(help="Time zone of the drive, and of times that name none.")] = "UTC",
    time_format: Annotated[str | None, typer.Option(help="How times are written: '%m/%d/%Y %I:%M:%S %p'.")] = None,
    start: Annotated[str, typer.Option(help="When it began (ISO 8601), for times that count from 0.")] = "",
    strict: Annotated[bool, typer.Option(help="A row that cannot be read is an error; else it is left out.")] = False,
    camera: Annotated[str, typer.Option(help="driver, road or cabin.")] = "driver",
    fps: Annotated[float, typer.Option(help="Pictures a second to keep, or that the folder has.")] = 5.0,
    video_offset: Annotated[float, typer.Option(help="First picture, in s after the first GPS sample.")] = 0.0,
    vehicle_name: str = "",
    vehicle_class: Annotated[str, typer.Option("--class", help="passenger, light_duty or heavy_duty.")] = "passenger",
    driver: Annotated[str, typer.Option(help="The driver's id.")] = "",
    driver_name: str = "",
    device: Annotated[str, typer.Option(help="The device's id. Default: VEHICLE-import.")] = "",
    imu_frame: Annotated[
        str, typer.Option(help="Axes: vehicle (ISO 8855), device, phone, earth or unknown.")
    ] = "unknown",
    source: Annotated[str, typer.Option(help="Where the recording is from.")] = "",
    licence: str = "",
    attribution: str = "",
) -> None:
    """Turn a CSV or GPX, with an IMU table and footage if there are, into a recorded drive.

    Columns and units are guessed and printed; --map says what was guessed wrong. Units: s ms us ns iso, mps kmh mph
    knots, mps2 g, radps degps, deg rad, m km mi ft. Known as they are: Sensor Logger, phyphox, Torque, Traccar,
    AndroSensor.

    Examples:

    rumblestrip import log.csv my-drive --vehicle van-7 --map speed=velocity:kmh --video cab.mp4

    rumblestrip import 2024-05-01_08-00-00 my-drive --vehicle van-7 --imu-frame phone

    rumblestrip import trackLog.csv my-drive --vehicle van-7 --time-format '%d-%b-%Y %H:%M:%S.%f' --zone Europe/Rome
    """
    from infra.clock import to_datetime
    from infra.contracts.telemetry import ImuFrame, VehicleClass
    from infra.drives import Manifest
    from infra.drives.manifest import one_of
    from infra.runtime.import_drive import Footage, Source, import_with_progress
    from infra.runtime.import_times import read_moment

    manifest = Manifest(
        vehicle,
        device or f"{vehicle}-import",
        start=to_datetime(0),  # the importer puts the first sample's time
        vehicle_name=vehicle_name,
        vehicle_class=one_of(VehicleClass, vehicle_class, "--class"),
        driver_id=driver or None,
        driver_name=driver_name,
        imu_frame=one_of(ImuFrame, imu_frame, "--imu-frame"),
        time_zone=zone,
        source=source,
        licence=licence,
        attribution=attribution,
    )
    footage = Footage(video, camera, video_offset, fps) if video else None
    began = read_moment(start, zone) if start else None
    between = (from_, to)
    told = Source(table, imu, footage, tuple(map_ or ()), tuple(where or ()), between, gyro, time_format, strict, began)
    import_with_progress(folder, told, manifest, _console())


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for drives, truth and delivery plan.")],
    vehicles: Annotated[int, typer.Option(min=1)] = 20,
    minutes: Annotated[float, typer.Option(min=1.0)] = 30.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 1,
    send: Annotated[str, typer.Option(help="Address of a gateway to send it to afterwards.")] = "",
) -> None:
    """Make a fleet with known events, and write the truth beside it.

    Example: rumblestrip simulate --vehicles 20 --minutes 30 --seed 1 --out fleet
    """
    from infra.runtime.simulate import write_fleet

    summary = write_fleet(out, vehicles, minutes * 60.0, seed)
    _console().print(summary)
    if send:
        replay([out / "drives"], url=send)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema.

    Example: RUMBLESTRIP_DATABASE_URL=postgresql://… rumblestrip migrate
    """
    from infra.migrations import head

    with _database(_settings()):
        typer.echo(f"the schema is at revision {head()}")


@app.command()
def topics(
    skip_lost: Annotated[bool, typer.Option("--skip-lost", help="Go on without them, each gap a dead letter.")] = False,
) -> None:
    """Create missing topics, show how many messages each holds, and which the broker threw away unread.

    Example: RUMBLESTRIP_BUS=kafka rumblestrip topics
    """
    from infra.runtime.adapters import open_kafka, open_media
    from infra.runtime.lost import tell_gaps, tell_kept

    settings = _settings()
    bus = open_kafka(settings)
    tell_kept(bus, typer.echo)
    if skip_lost or settings.database_url:
        with _database(settings) as engine:
            tell_gaps(engine, bus, open_media(settings) if skip_lost else None, typer.echo)
    bus.close()


@app.command()
def doctor(
    settings: Annotated[bool, typer.Option("--settings", help="Only list the settings with their values.")] = False,
) -> None:
    """Say what this installation has, what is missing, and how to get it. Exit code 1: something needed is missing.

    Example: rumblestrip doctor
    """
    from infra.runtime.doctor import examine, print_findings, print_settings

    if settings:
        print_settings(_settings(), _console())
        return
    if not print_findings(examine(_settings()), _console()):
        raise typer.Exit(FAILURE)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; end with 0, 1 (failed), 2 (used wrongly) or 130 (interrupted)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(arguments, prog_name="rumblestrip")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if _Debug.on:
            raise
        wrong_use = type(error).__name__ in ("SettingsError", "DriveError", "SourceError")
        typer.echo(f"error: {_in_words(error)}", err=True)
        sys.exit(USAGE if wrong_use else FAILURE)


def _in_words(error: Exception) -> str:
    said = " ".join(str(error).split()) if str(error) else ""
    known = type(error).__module__.partition(".")[0] in ("infra", "ingest", "vision", "scoring", "dashboard")
    if known and said:
        return said
    return f"{type(error).__name__}: {said or 'no message'} (rumblestrip --debug … shows where)"


def _settings() -> Settings:
    from infra.settings import load

    settings = load()
    logging.getLogger().setLevel(settings.log_level if _Debug.on else max(logging.WARNING, _level(settings.log_level)))
    return settings


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name]


def _console() -> Any:
    from rich.console import Console

    return Console()


def _database(settings: Settings) -> Any:
    from infra.runtime.adapters import open_database

    return open_database(settings)


def _options(speed: str, again: bool, json: bool, target: str) -> Options:
    from infra.runtime.replay import Options

    try:
        times = None if speed == "max" else float(speed)
    except ValueError as error:
        raise typer.BadParameter(f"--speed {speed}: a number such as 10, or max") from error
    if times is not None and not 0 < times <= 1000:
        raise typer.BadParameter(f"--speed {speed}: more than 0 and at most 1000, or max")
    return Options(times, again, "json" if json else "arrow", target=target)


if __name__ == "__main__":
    main()
