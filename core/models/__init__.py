"""ModelConfig -> nn.Module. May import config."""
