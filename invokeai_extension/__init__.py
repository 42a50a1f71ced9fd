"""InvokeAI's door: invocations over the core. A body converts, calls, and converts back."""
