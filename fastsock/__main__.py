"""`python -m fastsock`: the command line. Each command is a file in `commands`."""

import sys

USAGE = """\
usage: python -m fastsock COMMAND ...

commands:
  run SCRIPT [ARG ...]      run a Python program with fastsock as its socket module
  run -m MODULE [ARG ...]   the same for a module
  serve echo                a server that sends back what arrives
  serve http DIR            one that serves files
  serve relay LISTEN CONNECT   one that passes connections on
  bench                     six comparisons with the stdlib and with C, in a minute
  info                      versions, and what of this machine is used
  demo                      a server and clients, on the stdlib and on fastsock, side by side

options:
  -h, --help                show this help, or that of a command
  --version                 show the version
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status (2 for a mistake in the call)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        print(USAGE, end="", file=sys.stderr)
        return 2
    command, *rest = arguments
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if command == "--version":
        import fastsock
        print(f"fastsock {fastsock.__version__}")
        return 0
    if command == "run":
        # Imported alone: the program must find as little imported as under python.
        from fastsock.commands import run
        return run.main(rest)
    if command in ("bench", "demo", "info", "serve"):
        import importlib
        status: int = importlib.import_module(f"fastsock.commands.{command}").main(rest)
        return status
    print(f"python -m fastsock: unknown command {command!r}; see: python -m fastsock --help",
          file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
