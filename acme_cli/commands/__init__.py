"""One module a command: options in, one call, answer out."""
