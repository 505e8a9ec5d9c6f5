"""Accelerate: gradient accumulation, clipping in the step, and a resumed run with the same bits.

```diff
-from torch.optim import AdamW
+from gpuopt.torch import AdamW
@@
-optimizer = AdamW(model.parameters(), lr=1e-2)
+optimizer = AdamW(model.parameters(), lr=1e-2, clip_norm=1.0)
@@
                 accelerator.backward(loss)
-                if accelerator.sync_gradients:
-                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                 optimizer.step()
```
"""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn.functional import cross_entropy

from gpuopt.torch import AdamW

EPOCHS = 4

set_seed(0)
x = torch.randn(4096, 32)
y = (x @ torch.randn(32, 10)).argmax(dim=1)
data = torch.utils.data.TensorDataset(x, y)

model = torch.nn.Sequential(
    torch.nn.Linear(32, 128),
    torch.nn.GELU(),
    torch.nn.Linear(128, 10),
)
optimizer = AdamW(model.parameters(), lr=1e-2, clip_norm=1.0)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
loader = torch.utils.data.DataLoader(data, batch_size=64)

accelerator = Accelerator(gradient_accumulation_steps=2)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
accelerator.register_for_checkpointing(schedule)


def train(epochs):
    for epoch in epochs:
        for inputs, labels in loader:
            with accelerator.accumulate(model):
                loss = cross_entropy(model(inputs), labels)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        schedule.step()
        accelerator.print(f"epoch {epoch}: loss {loss:.3f}")


train(range(0, 2))
accelerator.save_state("accelerate_checkpoint")
train(range(2, EPOCHS))
weights = [p.clone() for p in model.parameters()]

accelerator.load_state("accelerate_checkpoint")
train(range(2, EPOCHS))
same = all(torch.equal(p, q) for p, q in zip(model.parameters(), weights))
accelerator.print(f"resumed with the same bits: {same}")
