"""Restored crops back into their images: tones, masks and paste-back."""
