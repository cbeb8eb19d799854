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
    if arguments[:1] == ["run"]:
        # Imported alone: the program must find as little imported as under python. How it
        # ends is its own affair.
        from fastsock.commands import run
        return run.main(arguments[1:])
    try:
        try:
            return command(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # where its failure is still ours to handle
    except KeyboardInterrupt:
        return 130  # as a shell reports the end by SIGINT
    except BrokenPipeError:
        if not is_output_gone():
            raise
        return 141  # as a shell reports the end by SIGPIPE, which Python ignores


def command(arguments: list[str]) -> int:
    if not arguments:
        print(USAGE + "python -m fastsock: error: a COMMAND is required", file=sys.stderr)
        return 2
    name, *rest = arguments
    if name in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if name == "--version":
        import fastsock
        print(f"fastsock {fastsock.__version__}")
        return 0
    if name in ("bench", "demo", "info", "serve"):
        import importlib
        status: int = importlib.import_module(f"fastsock.commands.{name}").main(rest)
        return status
    print(f"python -m fastsock: error: unknown command {name!r}; see: python -m fastsock --help",
          file=sys.stderr)
    return 2


def is_output_gone() -> bool:
    """Is standard output a pipe that no process reads? It then leads nowhere from now on."""
    import os
    import select
    try:
        fd = sys.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
            return False
        # What is still buffered is written when the interpreter ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, fd)
        os.close(null)
    except (AttributeError, OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
