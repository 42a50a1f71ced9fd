"""Progress, and masks for batches."""

_hook = None


def set_progress_bar_global_hook(function):
    global _hook
    _hook = function


class ProgressBar:
    def __init__(self, total, node_id=None):
        self.total, self.hook, self.node_id = total, _hook, node_id

    def update_absolute(self, value, total=None, preview=None):
        self.total = self.total if total is None else total
        if self.hook is not None:
            self.hook(min(value, self.total), self.total, preview, node_id=self.node_id)


def repeat_to_batch_size(tensor, batch_size, dim=0):
    assert dim == 0
    copies = -(-batch_size // len(tensor))
    return tensor.repeat(copies, *[1] * (tensor.dim() - 1))[:batch_size]
