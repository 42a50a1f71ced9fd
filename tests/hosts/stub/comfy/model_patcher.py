"""A model that the memory manager knows."""


class ModelPatcher:
    def __init__(self, model, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device

    def model_size(self):
        return sum(t.numel() * t.element_size() for t in self.model.state_dict().values())
