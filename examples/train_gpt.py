"""A small GPT in one file, trained as in nanoGPT, on the text of Python's help pages.

```diff
-from torch.nn.utils import clip_grad_norm_
-from torch.optim import AdamW
-from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
+from gpuopt.torch import AdamW
@@
-optimizer = AdamW(groups, lr=LR, betas=(0.9, 0.95))
-average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
+optimizer = AdamW(groups, lr=LR, betas=(0.9, 0.95), clip_norm=1.0, ema_decay=0.95)
@@
 parts = {
     "model": model,
-    "average": average,
     "optimizer": optimizer,
 }
@@
         plain = validate(model)
-        averaged = validate(average)
+        with optimizer.ema_weights():
+            averaged = validate(model)
@@
     loss.backward()
-    clip_grad_norm_(model.parameters(), 1.0)
     optimizer.step()
-    average.update_parameters(model)
     optimizer.zero_grad()
```

It writes checkpoint.pt; run again, it goes on from there, and ends with the same bits. (On a GPU
torch's attention does not give the same bits twice, unless it is told to.)
"""

import hashlib
import math
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from gpuopt.torch import AdamW

STEPS, WARMUP, LR = 150, 10, 3e-3
BATCH, CONTEXT, WIDTH, HEADS, LAYERS = 16, 64, 64, 4, 2
CHECKPOINT = Path("checkpoint.pt")

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"

text = "".join(topics.values())
letters = sorted(set(text))
data = torch.tensor([letters.index(letter) for letter in text], device=device)
train_data, validation_data = data[: -len(data) // 10], data[-len(data) // 10 :]


def batch_of(data, seed):
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(data) - CONTEXT, (BATCH, 1), generator=generator)
    windows = data[(starts + torch.arange(CONTEXT + 1)).to(device)]
    return windows[:, :-1], windows[:, 1:]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
        )
        heads = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(heads.transpose(1, 2).flatten(-2))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(len(letters), WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(letters)))

    def forward(self, x):
        return self.head(self.blocks(self.letters(x) + self.places.weight[: x.shape[1]]))


model = GPT().to(device)

# Weight decay applies to matrices, but not to biases and norms.
params = list(model.parameters())
groups = [
    {"params": [p for p in params if p.ndim >= 2], "weight_decay": 0.1},
    {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
]
optimizer = AdamW(groups, lr=LR, betas=(0.9, 0.95), clip_norm=1.0, ema_decay=0.95)
parts = {
    "model": model,
    "optimizer": optimizer,
}


def learning_rate(step):
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    return LR * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def loss_of(model, x, y):
    return cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def validate(model):
    return sum(loss_of(model, *batch_of(validation_data, i)).item() for i in range(8)) / 8


first = 0
if CHECKPOINT.exists():
    saved = torch.load(CHECKPOINT, map_location=device)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    first = saved["step"]
    print(f"resumed at step {first}")

for step in range(first, STEPS + 1):
    if step % 50 == 0:
        plain = validate(model)
        with optimizer.ema_weights():
            averaged = validate(model)
        print(f"step {step:3}: validation loss {plain:.3f}, averaged weights {averaged:.3f}")
    if step == STEPS:
        break
    if step == 100:
        saved = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**saved, "step": step}, CHECKPOINT)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step)
    loss = loss_of(model, *batch_of(train_data, step))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

bits = b"".join(p.detach().cpu().numpy().tobytes() for p in params)
print(f"weights {hashlib.sha256(bits).hexdigest()[:16]}")
