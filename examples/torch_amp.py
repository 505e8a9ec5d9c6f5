"""A plain torch loop in mixed precision, on the GPU if there is one.

```diff
-from torch.optim import AdamW
+from gpuopt.torch import AdamW
@@
-optimizer = AdamW(model.parameters(), lr=0.01)
+optimizer = AdamW(model.parameters(), lr=0.01, clip_norm=1.0)
@@
     scaler.scale(loss).backward()
-    scaler.unscale_(optimizer)
-    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
     scaler.step(optimizer)
     scaler.update()
     if step % 50 == 0:
+        norm = optimizer.grad_norm
         print(f"step {step:3}: loss {loss:.3f}, gradient norm {norm:.3f}")
```

The step unscales, clips and updates by itself, and changes nothing where float16 overflowed.
"""

import torch

from gpuopt.torch import AdamW

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"

x = torch.randn(4096, 32, device=device)
y = (x @ torch.randn(32, 10, device=device)).argmax(dim=1)

model = torch.nn.Sequential(
    torch.nn.Linear(32, 128),
    torch.nn.GELU(),
    torch.nn.Linear(128, 10),
).to(device)
optimizer = AdamW(model.parameters(), lr=0.01, clip_norm=1.0)
scaler = torch.amp.GradScaler(device)

for step in range(201):
    batch = torch.randint(len(x), (256,), device=device)
    with torch.autocast(device, torch.float16):
        loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    if step % 50 == 0:
        norm = optimizer.grad_norm
        print(f"step {step:3}: loss {loss:.3f}, gradient norm {norm:.3f}")
