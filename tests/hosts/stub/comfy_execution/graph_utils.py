"""What stops the nodes behind an output."""


class ExecutionBlocker:
    """Instead of a value; without a message it stops them silently."""

    def __init__(self, message):
        self.message = message
