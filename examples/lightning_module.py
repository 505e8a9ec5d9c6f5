"""Lightning: a learning rate schedule, and clipping in the step.

```diff
-from torch.optim import AdamW
+from gpuopt.torch import AdamW
@@
     def configure_optimizers(self):
-        optimizer = AdamW(self.parameters(), lr=1e-2)
+        optimizer = AdamW(self.parameters(), lr=1e-2, clip_norm=1.0)
@@
     max_epochs=4,
-    gradient_clip_val=1.0,
```

With `import lightning as pl` nothing else changes.
"""

import pytorch_lightning as pl
import torch
from torch.nn.functional import cross_entropy

from gpuopt.torch import AdamW


class Classifier(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(32, 128),
            torch.nn.GELU(),
            torch.nn.Linear(128, 10),
        )

    def training_step(self, batch, index):
        x, y = batch
        return cross_entropy(self.layers(x), y)

    def validation_step(self, batch, index):
        x, y = batch
        self.log("loss", cross_entropy(self.layers(x), y))

    def on_validation_epoch_end(self):
        loss = self.trainer.callback_metrics["loss"]
        print(f"epoch {self.current_epoch}: validation loss {loss:.3f}")

    def configure_optimizers(self):
        optimizer = AdamW(self.parameters(), lr=1e-2, clip_norm=1.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
        return [optimizer], [schedule]


def loader(x, y, **options):
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=128, **options
    )


pl.seed_everything(0)
x = torch.randn(5120, 32)
y = (x @ torch.randn(32, 10)).argmax(dim=1)

trainer = pl.Trainer(
    max_epochs=4,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    num_sanity_val_steps=0,
)
trainer.fit(Classifier(), loader(x[:4096], y[:4096], shuffle=True), loader(x[4096:], y[4096:]))
