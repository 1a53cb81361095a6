"""Images of captions: by our networks or a diffusers pipeline, one batch or a protocol's thousands."""
