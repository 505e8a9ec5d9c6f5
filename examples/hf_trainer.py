"""Hugging Face's Trainer with a small, randomly initialized GPT-2: nothing is downloaded.

```diff
-from torch.optim import AdamW
+from gpuopt.torch import AdamW, of
@@
+class NormOfTheStep(Trainer):
+    def _get_grad_norm(self, model, grad_norm=None):
+        return None  # transformers 5.24 measures it for the log, and rewrites all gradients
@@
-trainer = Trainer(
+trainer = NormOfTheStep(
@@
-        max_grad_norm=1.0,
+        max_grad_norm=0.0,  # the step clips
@@
-    optimizer_cls_and_kwargs=(AdamW, {"lr": 1e-2}),
+    optimizer_cls_and_kwargs=(AdamW, {"lr": 1e-2, "clip_norm": 1.0}),
@@
+print(f"updated by {of(trainer).backend}")
```

Another class in `optimizer_cls_and_kwargs` is enough, since the Trainer's own clipping works, too.
The rest saves its passes over the gradients.
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from gpuopt.torch import AdamW, of


class NormOfTheStep(Trainer):
    def _get_grad_norm(self, model, grad_norm=None):
        return None  # transformers 5.24 measures it for the log, and rewrites all gradients


torch.manual_seed(0)
model = GPT2LMHeadModel(
    GPT2Config(
        vocab_size=32,
        n_positions=16,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=None,
        eos_token_id=None,
    )
)

# Each sequence counts up from a random number.
tokens = (torch.randint(32, (512, 1)) + torch.arange(16)) % 32

trainer = NormOfTheStep(
    model,
    TrainingArguments(
        output_dir="hf_trainer",
        num_train_epochs=4,
        per_device_train_batch_size=32,
        max_grad_norm=0.0,  # the step clips
        logging_steps=16,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    ),
    train_dataset=[{"input_ids": row, "labels": row} for row in tokens],
    optimizer_cls_and_kwargs=(AdamW, {"lr": 1e-2, "clip_norm": 1.0}),
)
trainer.train()
print(f"updated by {of(trainer).backend}")
