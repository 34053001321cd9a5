"""One module for each subcommand of `kvmagent`: `register(subparsers)` and `run(arguments) -> exit status`."""
