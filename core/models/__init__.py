"""Networks: a ModelConfig -> nn.Module, its layers and receptive fields, and the weights of backbones."""
