"""What is minimised, one file each: causal, dpo, reward, rloo. An objective is ``loss(model, batch) -> Loss``."""
