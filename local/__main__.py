"""The commands of the local stack, as the Makefile runs them."""

import argparse
import json
import sys
from pathlib import Path

from local import demo, run
from local.errors import LocalError
from local.redrive import QUEUES
from local.state import CHECKOUT, State


def main() -> None:
    """Run the command of the command line."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--state", type=Path, default=run.FOLDER, help="all but demo: its files")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the whole stack, until Ctrl-C")
    commands.add_parser("demo", help="the path of five messages, once")
    commands.add_parser("down", help="end what `run` left running")
    redrive = commands.add_parser("redrive", help="put a queue's dead letters back")
    redrive.add_argument("queue", choices=QUEUES)
    invoke = commands.add_parser("invoke", help="invoke a function of the running stack")
    invoke.add_argument("function", help="its name, `ingest` say, or `migrations`")
    invoke.add_argument("event", type=Path, help="a file of JSON, such as those under events/")
    commands.add_parser("container-template", help="write a template for `sam local invoke`")
    arguments = parser.parse_args()
    state = State(arguments.state.resolve())
    try:
        match arguments.command:
            case "run":
                run.run(state)
            case "demo":
                demo.demo()
            case "down":
                run.down(state)
            case "redrive":
                run.redrive_queue(state, arguments.queue)
            case "invoke":
                answer = run.invoke_function(
                    state, arguments.function, arguments.event.read_bytes()
                )
                print(json.dumps(answer, indent=2))
            case "container-template":
                print(run.write_container_template(state).relative_to(CHECKOUT))
    except LocalError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(0 if arguments.command == "run" else 130)


if __name__ == "__main__":
    main()
