"""Training settings that every checkpoint of deepspeech.pytorch V3.0 carries along: its defaults."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Untyped:
    """A setting whose declared type is Any."""

    value: object


OPTIMIZER: dict[str, object] = {
    "learning_rate": 0.00015,
    "learning_anneal": 0.99,
    "weight_decay": 1e-05,
    "eps": 1e-08,
}
"""AdamW."""

CHECKPOINT: dict[str, object] = {
    "_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
    "filepath": str,
    "monitor": "wer",
    "verbose": False,
    "save_last": bool,
    "save_top_k": 1,
    "save_weights_only": True,
    "mode": "min",
    "period": 1,
    "prefix": "",
    "dirpath": Untyped(value=""),
    "filename": str,
}
"""Where and how often checkpoints are written. A type stands for a setting of that type without a value."""

TRAINER: dict[str, object] = {
    "_target_": "pytorch_lightning.trainer.Trainer",
    "logger": Untyped(value=True),
    "checkpoint_callback": True,
    "callbacks": Untyped(value="???"),
    "default_root_dir": str,
    "gradient_clip_val": 400.0,
    "process_position": 0,
    "num_nodes": 1,
    "num_processes": 1,
    "gpus": Untyped(value=0),
    "auto_select_gpus": False,
    "tpu_cores": Untyped(value=None),
    "log_gpu_memory": str,
    "progress_bar_refresh_rate": 0,
    "overfit_batches": Untyped(value=0.0),
    "track_grad_norm": Untyped(value=-1),
    "check_val_every_n_epoch": 1,
    "fast_dev_run": Untyped(value=False),
    "accumulate_grad_batches": Untyped(value=1),
    "max_epochs": 1,
    "min_epochs": 1,
    "max_steps": int,
    "min_steps": int,
    "limit_train_batches": Untyped(value=1.0),
    "limit_val_batches": Untyped(value=1.0),
    "limit_test_batches": Untyped(value=1.0),
    "val_check_interval": Untyped(value=1.0),
    "flush_logs_every_n_steps": 100,
    "log_every_n_steps": 50,
    "accelerator": Untyped(value=None),
    "sync_batchnorm": False,
    "precision": 32,
    "weights_summary": str,
    "weights_save_path": str,
    "num_sanity_val_steps": 2,
    "truncated_bptt_steps": int,
    "resume_from_checkpoint": Untyped(value=None),
    "profiler": Untyped(value=None),
    "benchmark": False,
    "deterministic": False,
    "reload_dataloaders_every_epoch": False,
    "auto_lr_find": Untyped(value=False),
    "replace_sampler_ddp": True,
    "terminate_on_nan": False,
    "auto_scale_batch_size": Untyped(value=False),
    "prepare_data_per_node": True,
    "plugins": Untyped(value=None),
    "amp_backend": "native",
    "amp_level": "O2",
    "distributed_backend": str,
    "automatic_optimization": bool,
    "move_metrics_to_cpu": False,
    "enable_pl_optimizer": False,
}
"""The loop. A type stands for a setting of that type without a value."""

AUGMENTATION: dict[str, object] = {
    "speed_volume_perturb": False,
    "spec_augment": False,
    "noise_dir": "",
    "noise_prob": 0.4,
    "noise_min": 0.0,
    "noise_max": 0.5,
}
"""Noise and perturbation, all off."""
