"""One module per subcommand: `command(argv) -> exit status`."""
