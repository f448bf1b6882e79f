"""The process: ready for signals before anything slow is imported, and gone without a tear-down."""

import os
import signal


def main() -> None:
    """Run `acme` and end the process with its exit code."""
    while os.open(os.devnull, os.O_RDWR) < 3:
        pass  # so that no file ever takes the number of a standard stream that was closed
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or in the background of a script
            signal.signal(number, lambda number, _: os._exit(128 + number))
    from acme_cli.main import run  # after the handlers: this import takes most of a short run

    run()


if __name__ == "__main__":
    main()
