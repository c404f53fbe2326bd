"""The demo's BEiT: the network of unilm/beit at a small size, under the names of its checkpoints."""

import torch
from torch import nn

from inferry.checkpoints.beit_positions import EXTRA, relative_position_index

SIZE, PATCH, WIDTH, DEPTH, HEADS = 96, 16, 64, 4, 4
GRID = SIZE // PATCH
EPSILON = 1e-6
NEARNESS = 0.5
"""How sharply attention begins at a neighbouring patch."""


class PatchEmbed(nn.Module):
    """Pictures to one vector a patch."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(batch, 3, size, size) to (batch, patches, width)."""
        return self.proj(pixels).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention with a bias for every relative position and head; keys have no bias of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(WIDTH))
        self.v_bias = nn.Parameter(torch.zeros(WIDTH))
        self.relative_position_bias_table = nn.Parameter(neighbours())
        self.register_buffer("relative_position_index", torch.from_numpy(relative_position_index(GRID)))
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) in and out."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        qkv = nn.functional.linear(x, self.qkv.weight, bias)
        query, key, value = qkv.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = query * (WIDTH // HEADS) ** -0.5 @ key.transpose(2, 3)
        scores = scores + self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        return self.proj((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """The perceptron of a block, four times as wide inside."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) in and out."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and perceptron, each scaled by channel and added."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, EPSILON)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(WIDTH, EPSILON)
        self.mlp = Mlp()
        self.gamma_1 = nn.Parameter(torch.ones(WIDTH))
        self.gamma_2 = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, width) in and out."""
        x = x + self.gamma_1 * self.attn(self.norm1(x))
        return x + self.gamma_2 * self.mlp(self.norm2(x))


class Beit(nn.Module):
    """A classifier as unilm fine-tunes it: own relative positions in every block, mean pooling.

    Source: beit/modeling_finetune.py, VisionTransformer.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.fc_norm = nn.LayerNorm(WIDTH, EPSILON)
        self.head = nn.Linear(WIDTH, classes)
        self.apply(initialise)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(batch, 3, size, size) to logits (batch, classes)."""
        x = torch.cat((self.cls_token.expand(len(pixels), -1, -1), self.patch_embed(pixels)), dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x[:, 1:].mean(1)))


def neighbours() -> torch.Tensor:
    """A first relative position table, (rows, heads): each head looks at one of the four neighbours of a patch.

    A small network learns shapes much sooner from here than from zeros. Source: ConViT (arXiv:2103.10697), section 3.
    """
    offsets = torch.arange(1 - GRID, GRID).float()
    dy, dx = torch.meshgrid(offsets, offsets, indexing="ij")
    heads = [-NEARNESS * ((dy - y) ** 2 + (dx - x) ** 2).flatten() for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    return nn.functional.pad(torch.stack(heads, dim=1), (0, 0, 0, EXTRA))


def initialise(module: nn.Module) -> None:
    """Xavier's start: the original's deviation of 0.02 suits its width of 768, and is too small here."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
