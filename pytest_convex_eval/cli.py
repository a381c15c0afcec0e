"""The `convex-eval` command: what people do beside running pytest."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_convex_eval import __version__
from pytest_convex_eval.check.command import add_check
from pytest_convex_eval.comparison.commands import add_comparison
from pytest_convex_eval.outcomes import ConvexEvalError
from pytest_convex_eval.runs.commands import add_runs
from pytest_convex_eval.text import shown

_STORE = Path(".convex-eval/generations")

_TEMPLATE = """\
# yaml-language-server: $schema={schema}
summary: {summary}
tags: []
prompt: |
  Write `package.json` and `convex/schema.ts`.
  (Name the files, functions, arguments and results that the checks rely on.)
expect:
  files: [convex/schema.ts]
reference:
  package.json: |
    {{
      "name": "{package}",
      "dependencies": {{ "convex": "^{convex}" }}
    }}
  convex/schema.ts: |
    import {{ defineSchema, defineTable }} from "convex/server";
    import {{ v }} from "convex/values";

    export default defineSchema({{
      notes: defineTable({{ text: v.string() }}),
    }});
mutants:
  - name: forgets-package-json
    fails: package
    code: package/missing
    files: {{ package.json: null }}
"""

_SERVE = """\
Serves a Convex deployment on this machine, and on the loopback addresses alone: the official
CLI (`npx convex dev`, `run`, `data`, `import`, ...) and the official clients use it like any
other, and it needs no account. It prints what to put into the project's .env.local, and ends
with Ctrl-C.

Everything is in memory and gone at the end, unless --data names a folder: then all of it
(documents, schema, pushed code, environment variables, files, scheduled functions, cron jobs)
is there again at the next start, and no acknowledged mutation is lost even when this is killed.
One server at a time can use a folder.

Pushed code runs in child processes under limits, which is no sandbox: serve code you trust.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or 2 for what can't be done (`check`: also 1)."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter must not flush into it again.
        sys.stdout = None
        return 0
    except (OSError, ValueError, ConvexEvalError) as error:
        for line in f"convex-eval: {error}".splitlines():
            print(shown(line), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convex-eval",
        description="Looks after what `pytest cases/` uses; evaluating is pytest's.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    new = commands.add_parser("new", help="begin a case: new fundamentals/easy/my_case")
    new.add_argument(
        "place", metavar="CATEGORY/DIFFICULTY/NAME", help="where the case belongs, and its name"
    )
    new.add_argument(
        "--cases",
        type=Path,
        default=Path("cases"),
        metavar="DIR",
        help="the folder of cases (default %(default)s)",
    )
    new.set_defaults(run=_new)

    add_check(commands)
    _add_serve(commands)
    add_runs(commands)
    add_comparison(commands)

    store = commands.add_parser("store", help="the generation store")
    actions = store.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help="one line a generation, and the sums")
    listing.set_defaults(run=_list)
    export = actions.add_parser("export", help="one JSON object a line on standard output")
    export.add_argument(
        "--files",
        type=Path,
        metavar="DIR",
        help="write the answers' files there instead, a folder for each model, which "
        "`pytest --convex-answers DIR/<model>` judges",
    )
    export.set_defaults(run=_export)
    prune = actions.add_parser("prune", help="remove generations")
    prune.add_argument("--unreadable", action="store_true", help="files that are no generation")
    prune.add_argument(
        "--older-than", type=float, metavar="DAYS", help="generations made longer ago"
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    prune.set_defaults(run=_prune)
    for action in (listing, export, prune):
        action.add_argument(
            "--store",
            type=Path,
            default=_STORE,
            metavar="DIR",
            help="the folder of the generations (default %(default)s)",
        )
    return parser


# Where the official local backend serves: what is set up for it finds ours.
_PORT, _SITE_PROXY_PORT = 3210, 3211


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve the embedded deployment for any Convex project",
        description=_SERVE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=int,
        default=_PORT,
        metavar="N",
        help="0: any that is free (default %(default)s)",
    )
    parser.add_argument(
        "--site-proxy-port",
        type=int,
        default=_SITE_PROXY_PORT,
        metavar="N",
        help="of HTTP actions; 0: any that is free (default %(default)s)",
    )
    parser.add_argument(
        "--admin-key", metavar="KEY", help="default: a new one, or with --data that of the data"
    )
    parser.add_argument(
        "--instance-name",
        metavar="NAME",
        help="default: a new one, or with --data that of the data",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything there, in SQLite")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from pytest_convex_eval.deployment.serve import ServeOptions, serve
    from pytest_convex_eval.outcomes import InfrastructureError
    from pytest_convex_eval.toolchain.packages.node import node_runtime

    chosen = ServeOptions(
        port=options.port,
        site_proxy_port=options.site_proxy_port,
        admin_key=options.admin_key,
        instance_name=options.instance_name,
        data=options.data,
    )
    try:
        serve(chosen, node=node_runtime().node, out=sys.stdout)
    except InfrastructureError as error:
        raise ValueError(f"{error}\n{error.detail}".strip()) from error
    return 0


def _new(options: argparse.Namespace) -> int:
    from pytest_convex_eval.cases.schema import SCHEMA_FILE
    from pytest_convex_eval.outcomes import DIFFICULTIES
    from pytest_convex_eval.toolchain.packages.published import convex_snapshot

    category, difficulty, name = _place(options.place)
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"{difficulty!r} is no difficulty: {', '.join(DIFFICULTIES)}")
    path = options.cases / category / difficulty / f"{name}.yaml"
    if path.exists():
        raise ValueError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _TEMPLATE.format(
        schema=_relative(SCHEMA_FILE, path.parent),
        summary=name.replace("_", " ").replace("-", " ").capitalize(),
        package=name.replace("_", "-"),
        convex=convex_snapshot().newest,
    )
    path.write_text(text, encoding="utf-8")
    print(f"{path}: run it with  pytest {path} --convex-mutants")
    return 0


def _place(text: str) -> tuple[str, str, str]:
    parts = text.removesuffix(".yaml").removesuffix(".yml").split("/")
    words = [part.replace("_", "").replace("-", "") for part in parts]
    if len(parts) != 3 or not all(word.isalnum() for word in words):
        raise ValueError(f"{text!r} is no CATEGORY/DIFFICULTY/NAME")
    return parts[0], parts[1], parts[2]


def _relative(target: Path, start: Path) -> str:
    """`target` as seen from `start`, POSIX, where the two are near; else as a URL."""
    import os.path

    relative = os.path.relpath(target, start.resolve())
    return target.as_uri() if relative.count("..") > 6 else Path(relative).as_posix()


def _list(options: argparse.Namespace) -> int:
    from pytest_convex_eval.generation.built_in import built_in_vendors
    from pytest_convex_eval.generation.inventory import inventory, listing

    for line in listing(inventory(options.store, built_in_vendors().prices())):
        print(shown(line))
    return 0


def _export(options: argparse.Namespace) -> int:
    from pytest_convex_eval.generation.built_in import built_in_vendors
    from pytest_convex_eval.generation.inventory import export, inventory

    entries = inventory(options.store, built_in_vendors().prices())
    if options.files is not None:
        from pytest_convex_eval.generation.answers.export import export_files, export_lines

        exported = export_files(entries, options.files)
        for line in export_lines(exported, options.files):
            print(line)
        return 0
    for line in export(entries):
        print(line)
    return 0


def _prune(options: argparse.Namespace) -> int:
    from pytest_convex_eval.generation.built_in import built_in_vendors
    from pytest_convex_eval.generation.inventory import inventory, prune, summary, to_prune

    if not options.unreadable and options.older_than is None:
        raise ValueError("say what to remove: --unreadable, --older-than DAYS, or both")
    before = None
    if options.older_than is not None:
        before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=options.older_than)
    entries = inventory(options.store, built_in_vendors().prices())
    chosen = to_prune(entries, unreadable=options.unreadable, before=before)
    if options.dry_run:
        print(f"would remove {summary(chosen)}")
        return 0
    print(f"removed {summary(chosen)}")
    prune(chosen)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
