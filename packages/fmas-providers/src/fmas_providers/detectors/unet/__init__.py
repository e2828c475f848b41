"""The detector `unet`: a compact encoder-decoder that learns from truthful masks."""
