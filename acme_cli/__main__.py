"""The process: ready for signals before anything slow is imported, and gone without a tear-down."""

import gc
import os
import signal


def main() -> None:
    """Run `acme` and end the process with its exit code."""
    # A run makes many objects that live as long as it, and hardly a cycle. Looking for those took a twelfth of the time
    # of a cached answer, and a sixth of a large report's.
    gc.set_threshold(100_000, 50, 100)
    while os.open(os.devnull, os.O_RDWR) < 3:
        pass  # so that no file ever takes the number of a standard stream that was closed
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or in the background of a script
            signal.signal(number, lambda number, _: os._exit(128 + number))
    from acme_cli.main import run  # after the handlers: this import takes most of a short run

    run()


if __name__ == "__main__":
    main()
