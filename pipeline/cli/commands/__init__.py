"""One module per command, and one package per group of commands; each command is named like its module."""
