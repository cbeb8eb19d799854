"""The commands of `python -m fastsock`, one a file. Each has main(arguments) -> exit status."""
