"""Restored crops back into their pictures: tones, masks and paste-back."""
